//! The one list of what a world holds: each kind with its pool and its type.
//!
//! A new kind is a row here and in `plerion_model::kind`, a table in the store, a row of the API's families, and its own
//! files; what all kinds have in common comes of itself.

/// Calls a macro with a row for each kind: kind, pool, type, getter, what the pool holds.
macro_rules! for_kinds {
    ($call:ident) => {
        $call! {
            Vm vms (plerion_model::vm::Vm) vm "VMs that live.";
            Host hosts (plerion_model::host::Host) host "Hosts.";
            Vnet vnets (plerion_model::vnet::Vnet) vnet "Virtual networks.";
            Image images (plerion_model::image::Image) image "Images.";
            User users (plerion_model::user::User) user "Users.";
            Template templates (plerion_model::vmtemplate::VmTemplate) template "VM templates.";
            Group groups (plerion_model::group::Group) group "Groups.";
            Acl acls (plerion_model::acl::AclRule) acl "Access control rules.";
            Datastore datastores (plerion_model::datastore::Datastore) datastore "Datastores.";
            Cluster clusters (plerion_model::cluster::Cluster) cluster "Clusters.";
            Document documents (plerion_model::document::Document) document "Documents.";
            Zone zones (plerion_model::zone::Zone) zone "Zones.";
            Vrouter vrouters (plerion_model::vrouter::Vrouter) vrouter "Virtual routers.";
            VmGroup vmgroups (plerion_model::vmgroup::VmGroup) vmgroup "VM groups.";
            VnTemplate vntemplates (plerion_model::vntemplate::VnTemplate) vntemplate "Network templates.";
            Marketplace marketplaces (plerion_model::marketplace::Marketplace) marketplace "Marketplaces.";
            MarketplaceApp marketplaceapps (plerion_model::marketplaceapp::MarketplaceApp) marketplaceapp "Appliances of marketplaces.";
            Hook hooks (plerion_model::hook::Hook) hook "Hooks.";
            HookExecution hook_executions (plerion_model::hook::HookExecution) hook_execution "Executions of hooks.";
            BackupJob backupjobs (plerion_model::backupjob::BackupJob) backupjob "Backup jobs.";
            SchedAction sched_actions (plerion_model::sched_action::SchedAction) sched_action "Scheduled actions.";
            Vdc vdcs (plerion_model::vdc::Vdc) vdc "Virtual data centres.";
            SecurityGroup secgroups (plerion_model::secgroup::SecurityGroup) secgroup "Security groups.";
        }
    };
}
pub(crate) use for_kinds;
