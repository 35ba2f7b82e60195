//! Calls on network templates.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, VnTemplateCommand};

use crate::decode::{Decoded, template, template_or_empty};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let create = Right::On(Operation::Create, Kind::VnTemplate);
    vec![
        command(
            "one.vntemplate.allocate",
            "template:string",
            create,
            "makes a network template",
            allocate,
        ),
        command(
            "one.vntemplate.clone",
            "id:int, name:string",
            create,
            "copies a network template",
            clone,
        ),
        command(
            "one.vntemplate.instantiate",
            "id:int, name:string, extra:string(empty)",
            Right::On(Operation::Use, Kind::VnTemplate),
            "makes a network of a network template",
            instantiate,
        ),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    Ok(Command::VnTemplate(VnTemplateCommand::Allocate {
        template: template(&params.string()?)?,
    }))
}

fn clone(params: &mut Params) -> Decoded {
    Ok(Command::VnTemplate(VnTemplateCommand::Clone {
        id: params.int()?,
        name: params.string()?,
    }))
}

fn instantiate(params: &mut Params) -> Decoded {
    Ok(Command::VnTemplate(VnTemplateCommand::Instantiate {
        id: params.int()?,
        name: params.string()?,
        extra: template_or_empty(&params.string_or("")?)?,
    }))
}
