//! `onecluster`.

use roxmltree::{Document, Node};

use super::common;
use crate::error::CliError;
use crate::family::{Context, Input, ListSpec};
use crate::kind::Kind;
use crate::layout::{self, Fields};
use crate::list;
use crate::session::{FILTER_ALL, Session};
use crate::table::Column;
use crate::template_text;
use crate::xml;

/// The table of clusters.
pub static LIST: ListSpec = ListSpec {
    element: "CLUSTER",
    columns: &[
        Column::right("ID", 4)
            .adjusted()
            .about("Id of the cluster", "集群编号"),
        Column::left("NAME", 15)
            .expanded()
            .about("Name of the cluster", "集群名称"),
        Column::right("HOSTS", 10).about("Hosts in it", "主机数"),
        Column::right("VNETS", 10).about("Virtual networks in it", "虚拟网络数"),
        Column::right("DATASTORES", 10).about("Datastores in it", "数据存储数"),
    ],
    shown: &["ID", "NAME", "HOSTS", "VNETS", "DATASTORES"],
    cell,
    fetch: list::fetch_all,
    prepare: list::prepare_nothing,
};

fn cell(_context: &Context, cluster: Node<'_, '_>, column: &str) -> String {
    match column {
        "ID" | "NAME" => xml::text(cluster, column),
        _ => xml::ids(cluster, column).len().to_string(),
    }
}

/// What all hosts of a cluster have and have given away: cores and GiB.
#[derive(Debug, Default, Clone, Copy)]
pub struct Resources {
    cpu: i64,
    cpu_used: i64,
    memory_kib: i64,
    memory_kib_used: i64,
    hosts: usize,
}

/// Fetches the hosts of the cluster and renders it.
pub fn show(session: &mut Session, _input: &Input, document: &Document<'_>) -> Result<String, CliError> {
    let cluster = document.root_element();
    let members = xml::ids(cluster, "HOSTS");
    let mut resources = Resources::default();
    if !members.is_empty() {
        let pool = session.pool(Kind::Host, FILTER_ALL)?;
        let hosts = xml::document_parse(&pool)?;
        for host in xml::children(hosts.root_element(), "HOST") {
            if members.contains(&xml::text(host, "ID")) {
                resources.add(host);
            }
        }
    }
    Ok(render(cluster, &resources))
}

impl Resources {
    fn add(&mut self, host: Node<'_, '_>) {
        self.hosts += 1;
        self.cpu += xml::number(host, "HOST_SHARE/MAX_CPU");
        self.cpu_used += xml::number(host, "HOST_SHARE/CPU_USAGE");
        self.memory_kib += xml::number(host, "HOST_SHARE/MAX_MEM");
        self.memory_kib_used += xml::number(host, "HOST_SHARE/MEM_USAGE");
    }

    fn render(self) -> String {
        if self.hosts == 0 {
            return String::new();
        }
        let block = |name: &str, unit: i64, all: i64, used: i64| {
            format!(
                "TOTAL {name}: {}\nOCCUPIED {name}: {}\nAVAILABLE {name}: {}\n",
                all / unit,
                used / unit,
                all / unit - used / unit
            )
        };
        let gib = 1 << 20;
        block("CPUs", 100, self.cpu, self.cpu_used)
            + "\n"
            + &block("RAM", gib, self.memory_kib, self.memory_kib_used)
    }
}

/// The cluster.
pub fn render(cluster: Node<'_, '_>, resources: &Resources) -> String {
    let mut fields = Fields::new(18);
    let id = xml::text(cluster, "ID");
    fields
        .add_head(format!("CLUSTER {id} INFORMATION"))
        .add("ID", &id)
        .add_text("NAME", cluster, "NAME");
    let template = template_text::template_block(cluster, &[]);
    [
        fields.into_text(),
        "\n".to_owned(),
        layout::head("CLUSTER RESOURCES"),
        resources.render(),
        "\n".to_owned(),
        layout::head("CLUSTER TEMPLATE"),
        template,
        "\n".to_owned(),
        layout::id_list("HOSTS", &xml::ids(cluster, "HOSTS")),
        "\n".to_owned(),
        layout::id_list("VNETS", &xml::ids(cluster, "VNETS")),
        "\n".to_owned(),
        layout::id_list("DATASTORES", &xml::ids(cluster, "DATASTORES")),
    ]
    .concat()
}

/// `create`.
pub fn create(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let id = session.call_id("one.cluster.allocate", &[input.text(0).into()])?;
    common::id_print(session, id)
}

/// `addhost`.
pub fn host_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "addhost", "host added")
}

/// `delhost`.
pub fn host_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "delhost", "host removed")
}

/// `adddatastore`.
pub fn datastore_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "adddatastore", "datastore added")
}

/// `deldatastore`.
pub fn datastore_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "deldatastore", "datastore removed")
}

/// `addvnet`.
pub fn vnet_add(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "addvnet", "network added")
}

/// `delvnet`.
pub fn vnet_remove(session: &mut Session, input: &Input) -> Result<(), CliError> {
    common::relate(session, input, "delvnet", "network removed")
}

/// `optimize`.
pub fn optimize(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plan_call(session, input, "optimize", "plan asked for")
}

/// `planexecute`.
pub fn plan_execute(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plan_call(session, input, "planexecute", "plan started")
}

/// `plandelete`.
pub fn plan_delete(session: &mut Session, input: &Input) -> Result<(), CliError> {
    plan_call(session, input, "plandelete", "plan deleted")
}

fn plan_call(session: &mut Session, input: &Input, method: &str, done: &str) -> Result<(), CliError> {
    session.each(Kind::Cluster, &input.ids(0), done, |session, id| {
        session
            .call(&Kind::Cluster.method(method), &[id.into()])
            .map(drop)
    })
}
