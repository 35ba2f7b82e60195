//! What a VM uses of quotas.

use crate::numbers::hundredths;
use crate::quota_usage::{VmAmounts, VmUse};
use crate::vm::Vm;

impl VmAmounts {
    fn of(vm: &Vm, generic: &[String]) -> Self {
        let number = |name: &String| vm.user_template.get(name).or_else(|| vm.template.get(name));
        Self {
            vms: 1,
            cpu: vm.demand.cpu,
            memory_mib: vm.demand.memory_mib,
            pci_devices: vm.demand.pci_devices,
            pci_nics: vm.demand.pci_nics,
            generic: generic
                .iter()
                .map(|name| number(name).map_or(0, hundredths))
                .collect(),
        }
    }
}

impl VmUse {
    /// What one VM uses in its state.
    #[must_use]
    pub fn of(vm: &Vm, generic: &[String]) -> Self {
        let holds = vm.holds();
        if !holds.quota {
            return Self::default();
        }
        let all = VmAmounts::of(vm, generic);
        Self {
            running: if holds.running_quota {
                all.clone()
            } else {
                VmAmounts::default()
            },
            all,
            system_disk_mib: i64::try_from(vm.demand.system_mib()).unwrap_or(i64::MAX),
        }
    }
}
