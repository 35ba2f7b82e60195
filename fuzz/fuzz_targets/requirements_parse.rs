//! Any text is answered as requirements and as rank; explanations agree with the evaluation.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plerion_template::{Rank, Requirements, Template};

static HOST: LazyLock<Template> = LazyLock::new(|| {
    Template::parse("A=1 A=2 B=\"node-01\" C=-2.5 D=\"\" ID=7 HYPERVISOR=kvm FREE_CPU=350").expect("a template")
});

fuzz_target!(|text: &str| {
    if let Ok(requirements) = Requirements::parse(text) {
        assert_eq!(requirements.matches(&*HOST), requirements.explain(&*HOST).is_none());
    }
    if let Ok(rank) = Rank::parse(text) {
        let _ = rank.value(&*HOST);
    }
});
