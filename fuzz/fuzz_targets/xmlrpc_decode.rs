//! Any bytes are decoded as a call or refused with a fault; a second reading gives the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plerion_api::xmlrpc::codec::{PARAMS_MAX, decode};

fuzz_target!(|bytes: &[u8]| {
    let decoded = decode(bytes);
    assert_eq!(decoded, decode(bytes));
    match decoded {
        Ok(call) => assert!(!call.method.is_empty() && call.params.len() <= PARAMS_MAX),
        Err(fault) => assert!(fault.code < 0 && !fault.text.is_empty()),
    }
});
