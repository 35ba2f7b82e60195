//! Objects as they are kept: with the attributes encrypted that `*_ENCRYPTED_ATTR` names. [`crate::txn::Txn::put`] is the
//! one way into a world, so what comes through any door is sealed there.

use std::sync::Arc;

use plerion_model::vm::Vm;
use plerion_model::vnet::Vnet;
use plerion_model::{Id, Kind};
use plerion_template::PackedTemplate;

use crate::object::Object;
use crate::secrets::{Scope, Secrets};
use crate::world::World;

/// The vector as which the attributes of an address range are shown, and named in lists.
const RANGE: &str = "AR";

/// What is done to a template; `None` leaves it.
type Change<'a> = &'a dyn Fn(Scope, &PackedTemplate) -> Option<PackedTemplate>;

/// An object as it is kept.
pub(crate) fn object_sealed(world: &World, object: Object) -> Object {
    if Scope::of(object.kind()).is_none() {
        return object;
    }
    let old = world.object(object.kind(), object.id()).ok();
    sealed_beside(&world.config.secrets, object, old.as_ref())
}

/// An object as it is kept; what it shares with the one before it is so already.
fn sealed_beside(secrets: &Secrets, mut object: Object, old: Option<&Object>) -> Object {
    let Some(scope) = Scope::of(object.kind()) else {
        return object;
    };
    object_change(&mut object, scope, old, &|scope, template| {
        secrets.template_sealed(scope, template)
    });
    if let Object::Vnet(vnet) = &mut object {
        ranges_change(vnet, |key, value| {
            let is_secret = secrets.is_secret(Scope::Vnet, RANGE, Some(key));
            is_secret
                .then(|| secrets.sealed(Scope::Vnet, RANGE, Some(key), value))
                .flatten()
        });
    }
    object
}

/// An object with its values in clear.
#[must_use]
pub fn object_opened(secrets: &Secrets, object: &Object) -> Object {
    let mut object = object.clone();
    let Some(scope) = Scope::of(object.kind()) else {
        return object;
    };
    object_change(&mut object, scope, None, &|scope, template| {
        secrets.template_opened(scope, template)
    });
    if let Object::Vnet(vnet) = &mut object {
        ranges_change(vnet, |key, value| {
            secrets.opened(Scope::Vnet, RANGE, Some(key), value)
        });
    }
    object
}

/// A VM with its values in clear, for what hosts are asked to do.
#[must_use]
pub fn vm_opened(secrets: &Secrets, vm: &Arc<Vm>) -> Arc<Vm> {
    match object_opened(secrets, &Object::Vm(vm.clone())) {
        Object::Vm(vm) => vm,
        _ => vm.clone(),
    }
}

/// The objects of a world with values that are not encrypted yet, as they are to be kept.
pub(crate) fn objects_to_seal(world: &World) -> Vec<Object> {
    let mut found = Vec::new();
    for object in scoped(world) {
        let sealed = sealed_beside(&world.config.secrets, object.clone(), None);
        if !std::ptr::addr_eq(sealed.entity(), object.entity()) {
            found.push(sealed);
        }
    }
    found
}

/// Values that another key encrypted: kind and id of their object, and the attribute.
#[must_use]
pub fn values_foreign(world: &World) -> Vec<(Kind, Id, String)> {
    let secrets = &world.config.secrets;
    let mut found = Vec::new();
    for object in scoped(world) {
        let Some(scope) = Scope::of(object.kind()) else {
            continue;
        };
        let mut templates: Vec<&PackedTemplate> = object.entity().template().into_iter().collect();
        if let Object::Vm(vm) = &object {
            templates = vec![&vm.template, &vm.user_template];
        }
        for name in templates
            .into_iter()
            .flat_map(|template| secrets.foreign(scope, template))
        {
            found.push((object.kind(), object.id(), name));
        }
    }
    found
}

/// The objects whose attributes may be encrypted.
fn scoped(world: &World) -> impl Iterator<Item = Object> {
    let kinds = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| Scope::of(*kind).is_some());
    kinds.flat_map(move |kind| {
        let ids = world.ids(kind).into_iter();
        ids.filter_map(move |id| world.object(kind, id).ok())
    })
}

/// Changes the templates of an object, but for those that it shares with what it was.
fn object_change(object: &mut Object, scope: Scope, old: Option<&Object>, change: Change<'_>) {
    if let Object::Vm(vm) = object {
        let old = match old {
            Some(Object::Vm(old)) => Some(old),
            _ => None,
        };
        vm_change(vm, old, |template| change(scope, template));
        return;
    }
    let Some(template) = object.entity().template() else {
        return;
    };
    let was = old.and_then(|old| old.entity().template());
    if was.is_some_and(|was| was.same_buffer(template)) {
        return;
    }
    if let Some(new) = change(scope, template)
        && let Some(template) = object.entity_mut().template_mut()
    {
        *template = new;
    }
}

fn vm_change(
    vm: &mut Arc<Vm>,
    old: Option<&Arc<Vm>>,
    change: impl Fn(&PackedTemplate) -> Option<PackedTemplate>,
) {
    let shared =
        |was: Option<&PackedTemplate>, is: &PackedTemplate| was.is_some_and(|was| was.same_buffer(is));
    if !shared(old.map(|old| &old.template), &vm.template)
        && let Some(new) = change(&vm.template)
    {
        Arc::make_mut(vm).template = new;
    }
    if !shared(old.map(|old| &old.user_template), &vm.user_template)
        && let Some(new) = change(&vm.user_template)
    {
        Arc::make_mut(vm).user_template = new;
    }
}

fn ranges_change(vnet: &mut Arc<Vnet>, change: impl Fn(&str, &str) -> Option<String>) {
    let mut changes = Vec::new();
    for (range, at) in vnet.ranges.iter().zip(0_usize..) {
        for ((key, value), number) in range.attributes.iter().zip(0_usize..) {
            if let Some(value) = change(key, value) {
                changes.push((at, number, value));
            }
        }
    }
    if changes.is_empty() {
        return;
    }
    let vnet = Arc::make_mut(vnet);
    for (at, number, value) in changes {
        let attribute = vnet
            .ranges
            .get_mut(at)
            .and_then(|range| range.attributes.get_mut(number));
        if let Some(attribute) = attribute {
            attribute.1 = value;
        }
    }
}
