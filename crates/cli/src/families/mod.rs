//! What subcommands do, one file per command family.

pub mod accounting;
pub mod acl;
pub mod backupjob;
pub mod cluster;
pub mod common;
pub mod datastore;
pub mod group;
pub mod hook;
pub mod host;
pub mod image;
pub mod market;
pub mod marketapp;
pub mod secgroup;
pub mod template;
pub mod user;
pub mod vdc;
pub mod vm;
pub mod vm_devices;
pub mod vm_show;
pub mod vm_tables;
pub mod vmgroup;
pub mod vnet;
pub mod vnet_show;
pub mod vntemplate;
pub mod vrouter;
pub mod zone;
