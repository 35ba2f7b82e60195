//! Time to decode a request, and to escape a body.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use plerion_api::xmlrpc::codec::decode;
use plerion_api::xmlrpc::escape_into;

fn requests(criterion: &mut Criterion) {
    let request = |template: &str| {
        format!(
            "<?xml version='1.0'?>\n<methodCall>\n<methodName>one.vm.info</methodName>\n<params>\n<param>\n<value>\
             <string>oneadmin:opennebula</string></value>\n</param>\n<param>\n<value><string>{template}</string>\
             </value>\n</param>\n<param>\n<value><int>42</int></value>\n</param>\n<param>\n<value><boolean>0\
             </boolean></value>\n</param>\n</params>\n</methodCall>\n"
        )
    };
    for (name, template) in [
        ("small", String::new()),
        ("template of 7 KB", "A=&quot;1&quot;\n".repeat(467)),
    ] {
        let request = request(&template);
        criterion.bench_function(&format!("decode, {name}"), |bench| {
            bench.iter(|| decode(black_box(request.as_bytes())));
        });
    }
    let body = "<NAME><![CDATA[one]]></NAME>".repeat(40_000);
    criterion.bench_function("escape, 1.1 MB", |bench| {
        bench.iter(|| {
            let mut out = Vec::new();
            escape_into(black_box(&body), &mut out);
            out
        });
    });
}

criterion_group!(benches, requests);
criterion_main!(benches);
