//! Storage actions, done by a real agent process on real files.

mod common;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use common::{Channel, Scratch, has, text};
use plerion_protocol::{Action, ContextCopy, ContextFile, DiskFormat, ErrorKind, ImageSource};

/// A file that is copied to a CONTEXT disk.
const COPIED: &str = "a file image\n";

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("started");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn register(scratch: &Scratch, file: &Path, format: Option<DiskFormat>, checksum: Option<&str>) -> Action {
    let source = ImageSource::Path {
        path: text(file),
        safe_dirs: vec![text(&scratch.path().join("upload"))],
    };
    let destination = scratch.ds_text("1/image");
    Action::ImageRegister {
        source,
        destination,
        format,
        checksum: checksum.map(str::to_owned),
        size_limit_mib: 64,
    }
}

#[test]
fn raw_disks_are_copied_linked_made_grown_and_deleted() {
    let scratch = Scratch::new("raw");
    let mut agent = Channel::stdio(&scratch);
    scratch.write("ds/1/image", b"content");
    let source = scratch.ds_text("1/image");
    let destination = scratch.ds_text("0/5/disk.0");
    let copy = |size_mib| Action::DiskCopy {
        source: source.clone(),
        destination: destination.clone(),
        format: DiskFormat::Raw,
        size_mib,
    };
    agent.act(copy(Some(2))).expect("copied");
    let metadata = Path::new(&destination).metadata().expect("there");
    assert_eq!((metadata.len(), metadata.mode() & 0o777), (2 << 20, 0o660));
    assert!(std::fs::read(&destination).expect("read").starts_with(b"content"));
    let grow = Action::DiskCopy {
        source: destination.clone(),
        destination: destination.clone(),
        format: DiskFormat::Raw,
        size_mib: Some(3),
    };
    agent.act(grow).expect("grown in place");
    assert_eq!(Path::new(&destination).metadata().expect("there").len(), 3 << 20);

    let link = scratch.ds_text("0/5/disk.1");
    let action = Action::DiskLink {
        source: source.clone(),
        destination: link.clone(),
        format: DiskFormat::Raw,
    };
    agent.act(action).expect("linked");
    assert_eq!(std::fs::read_link(&link).expect("a link"), Path::new(&source));

    let made = scratch.ds_text("0/5/disk.2");
    let make = |file_system: Option<&str>, swap| Action::DiskMake {
        destination: made.clone(),
        format: DiskFormat::Raw,
        size_mib: 16,
        file_system: file_system.map(str::to_owned),
        swap,
    };
    agent.act(make(Some("ext4"), false)).expect("made");
    assert_eq!(
        &std::fs::read(&made).expect("read")[0x438..0x43a],
        b"\x53\xef",
        "the magic of ext4"
    );
    agent.act(make(None, true)).expect("made");
    assert_eq!(&std::fs::read(&made).expect("read")[4086..4096], b"SWAPSPACE2");
    let error = agent.act(make(Some("x;y"), false)).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Refused);

    let error = agent
        .act(Action::PathDelete {
            path: scratch.ds_text("0"),
        })
        .expect_err("a whole datastore");
    assert_eq!(error.kind, ErrorKind::Refused);
    agent
        .act(Action::PathDelete {
            path: scratch.ds_text("0/5"),
        })
        .expect("deleted");
    assert!(!scratch.ds("0/5").exists());
    assert_eq!(
        std::fs::read(&source).expect("what a link led to stays"),
        b"content"
    );
    agent
        .act(Action::PathDelete {
            path: scratch.ds_text("0/5"),
        })
        .expect("gone already");
    let space = agent
        .act(Action::DatastoreStat {
            path: scratch.ds_text("100"),
        })
        .expect("measured");
    assert!(space.space.expect("space").total_mib > 0);
    assert!(scratch.ds("100").is_dir());
    assert!(agent.close().success());
}

#[test]
fn qcow2_disks_have_the_layout_of_the_drivers() {
    if !has("qemu-img", "--version") {
        return;
    }
    let scratch = Scratch::new("qcow2");
    let mut agent = Channel::stdio(&scratch);
    std::fs::create_dir_all(scratch.ds("1")).expect("made");
    let image = scratch.ds_text("1/image");
    run("qemu-img", &["create", "-q", "-f", "qcow2", &image, "10M"]);
    let disk = scratch.ds_text("0/5/disk.0");
    let overlay = Action::DiskOverlay {
        backing: image.clone(),
        backing_format: DiskFormat::Qcow2,
        destination: disk.clone(),
        size_mib: Some(20),
    };
    agent.act(overlay.clone()).expect("made");
    assert_eq!(
        std::fs::read_link(&disk).expect("a link"),
        Path::new("disk.0.snap/0")
    );
    let own = scratch.ds("0/5/disk.0.snap/disk.0.snap");
    assert_eq!(std::fs::read_link(own).expect("a link"), Path::new("."));
    let info = run("qemu-img", &["info", "-f", "qcow2", "--output=json", &disk]);
    assert!(
        info.contains("\"virtual-size\": 20971520")
            && info.contains("\"backing-filename-format\": \"qcow2\"")
    );
    assert!(
        info.contains(&format!("\"backing-filename\": \"{image}\"")),
        "{info}"
    );
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 7 0 64k", &disk]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 5 1M 64k", &image]);
    let flat = scratch.ds_text("1/flat");
    let flatten = |destination: &str| Action::DiskFlatten {
        source: disk.clone(),
        destination: destination.to_owned(),
        format: DiskFormat::Qcow2,
    };
    agent.act(flatten(&flat)).expect("flattened");
    agent.act(flatten(&flat)).expect("flattened again");
    let info = run("qemu-img", &["info", "-f", "qcow2", "--output=json", &flat]);
    assert!(
        info.contains("\"virtual-size\": 20971520") && !info.contains("backing"),
        "{info}"
    );
    let same = run(
        "qemu-img",
        &["compare", "-f", "qcow2", "-F", "qcow2", &disk, &flat],
    );
    assert!(same.contains("identical"), "{same}");
    let error = agent.act(flatten(&disk)).expect_err("onto itself");
    assert_eq!(error.kind, ErrorKind::Refused);
    agent.act(overlay).expect("made anew");

    let persistent = scratch.ds_text("0/6/disk.0");
    let link = Action::DiskLink {
        source: image.clone(),
        destination: persistent.clone(),
        format: DiskFormat::Qcow2,
    };
    agent.act(link.clone()).expect("linked");
    assert_eq!(
        std::fs::read_link(&persistent).expect("a link"),
        scratch.ds("1/image.snap/0")
    );
    assert_eq!(
        std::fs::read_link(scratch.ds("1/image.snap/0")).expect("a link"),
        Path::new(&image)
    );
    assert_eq!(
        std::fs::read_link(scratch.ds("1/image.snap/image.snap")).expect("a link"),
        Path::new(".")
    );
    std::fs::write(scratch.ds("1/image.snap/2"), "").expect("a snapshot");
    agent.act(link).expect("linked");
    assert_eq!(
        std::fs::read_link(&persistent).expect("a link"),
        scratch.ds("1/image.snap/2")
    );

    let made = scratch.ds_text("0/5/disk.1");
    let make = |format| Action::DiskMake {
        destination: made.clone(),
        format,
        size_mib: 5,
        file_system: None,
        swap: false,
    };
    agent.act(make(DiskFormat::Qcow2)).expect("made");
    let grow = Action::DiskCopy {
        source: made.clone(),
        destination: scratch.ds_text("0/5/disk.2"),
        format: DiskFormat::Qcow2,
        size_mib: Some(9),
    };
    agent.act(grow).expect("copied and grown");
    let info = run(
        "qemu-img",
        &[
            "info",
            "-f",
            "qcow2",
            "--output=json",
            &scratch.ds_text("0/5/disk.2"),
        ],
    );
    assert!(info.contains("\"virtual-size\": 9437184"), "{info}");
    agent.act(Action::PathDelete { path: disk }).expect("deleted");
    assert!(
        !scratch.ds("0/5/disk.0.snap").exists(),
        "the snapshots go with the disk"
    );
}

#[test]
fn a_file_is_put_in_the_place_of_another_once() {
    let scratch = Scratch::new("replace");
    let mut agent = Channel::stdio(&scratch);
    scratch.write("ds/1/image", b"old");
    scratch.write("ds/0/5/disk.0.snap/0", b"new");
    std::os::unix::fs::symlink("disk.0.snap/0", scratch.ds("0/5/disk.0")).expect("linked");
    let action = Action::FileReplace {
        source: scratch.ds_text("0/5/disk.0"),
        destination: scratch.ds_text("1/image"),
    };
    agent.act(action.clone()).expect("replaced");
    assert_eq!(std::fs::read(scratch.ds("1/image")).expect("read"), b"new");
    agent.act(action).expect("done before");
    std::os::unix::fs::symlink(scratch.ds("1/image"), scratch.ds("0/5/disk.1")).expect("linked");
    let action = Action::FileReplace {
        source: scratch.ds_text("0/5/disk.1"),
        destination: scratch.ds_text("1/image"),
    };
    agent.act(action).expect("it is that very file");
    assert_eq!(std::fs::read(scratch.ds("1/image")).expect("read"), b"new");
}

#[test]
fn paths_do_not_escape() {
    let scratch = Scratch::new("escape");
    let mut agent = Channel::stdio(&scratch);
    scratch.write("secret/file", b"secret");
    scratch.write("ds/0/5/disk.0", b"x");
    let outside = text(&scratch.path().join("secret/file"));
    std::os::unix::fs::symlink(&outside, scratch.ds("0/5/evil")).expect("linked");
    std::os::unix::fs::symlink(scratch.path().join("secret"), scratch.ds("0/away")).expect("linked");
    let copy = |source: &str, destination: &str| Action::DiskCopy {
        source: source.to_owned(),
        destination: destination.to_owned(),
        format: DiskFormat::Raw,
        size_mib: None,
    };
    let disk = scratch.ds_text("0/5/disk.0");
    for action in [
        copy(&outside, &scratch.ds_text("0/5/disk.1")),
        copy(&scratch.ds_text("0/5/evil"), &scratch.ds_text("0/5/disk.1")),
        copy(&disk, &outside),
        copy(&disk, &scratch.ds_text("0/away/disk.1")),
        copy(&disk, &scratch.ds_text("0/5/../../../secret/disk.1")),
        Action::PathDelete {
            path: outside.clone(),
        },
        Action::PathDelete {
            path: scratch.ds_text("0/away/file"),
        },
        Action::ContextMake {
            destination: outside.clone(),
            files: Vec::new(),
            copies: Vec::new(),
        },
        Action::ContextMake {
            destination: scratch.ds_text("0/5/disk.9"),
            files: Vec::new(),
            copies: vec![ContextCopy {
                name: "secret".into(),
                path: outside.clone(),
            }],
        },
        Action::DatastoreStat {
            path: "/etc".to_owned(),
        },
    ] {
        let error = agent.act(action.clone()).expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Refused, "{action:?}: {error}");
    }
    assert_eq!(std::fs::read(&outside).expect("still there"), b"secret");
    agent
        .act(Action::PathDelete {
            path: scratch.ds_text("0/5/evil"),
        })
        .expect("a link itself may go");
    assert_eq!(std::fs::read(&outside).expect("still there"), b"secret");
}

#[test]
fn images_are_taken_in() {
    let scratch = Scratch::new("register");
    let mut agent = Channel::stdio(&scratch);
    let content = [b"an image".as_slice(), &vec![0; 3 << 20], b"its end"].concat();
    let plain = scratch.write("upload/plain", &content);
    let output = agent.act(register(&scratch, &plain, None, None)).expect("taken");
    assert_eq!((output.size_mib, output.format), (Some(4), Some(DiskFormat::Raw)));
    let programs = [("gzip", "-c"), ("xz", "-c"), ("zstd", "-qc"), ("bzip2", "-c")];
    for (program, flag) in programs
        .into_iter()
        .filter(|(program, _)| has(program, "--version"))
    {
        let packed = Command::new(program)
            .arg(flag)
            .arg(&plain)
            .output()
            .expect("packed")
            .stdout;
        let packed = scratch.write(&format!("upload/{program}"), &packed);
        let output = agent
            .act(register(&scratch, &packed, Some(DiskFormat::Raw), None))
            .expect("taken");
        assert_eq!(output.size_mib, Some(4), "{program}");
        assert!(
            std::fs::read(scratch.ds("1/image")).expect("read") == content,
            "{program}"
        );
        let source = ImageSource::Path {
            path: text(&packed),
            safe_dirs: vec![text(&scratch.path().join("upload"))],
        };
        let output = agent.act(Action::ImageStat { source }).expect("looked at");
        assert_eq!(
            (output.size_mib, output.format),
            (Some(4), Some(DiskFormat::Raw)),
            "{program}"
        );
    }
    let torn = scratch.write("upload/torn.gz", &[0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0]);
    assert!(agent.act(register(&scratch, &torn, None, None)).is_err());
    let abc = scratch.write("upload/abc", b"abc");
    agent
        .act(register(
            &scratch,
            &abc,
            None,
            Some("md5:900150983cd24fb0d6963f7d28e17f72"),
        ))
        .expect("taken");
    let error = agent.act(register(
        &scratch,
        &plain,
        None,
        Some("md5:900150983cd24fb0d6963f7d28e17f72"),
    ));
    assert!(error.expect_err("another digest").text.contains("digest"));
    assert_eq!(
        std::fs::read(scratch.ds("1/image")).expect("the one before stays"),
        b"abc"
    );
    let leftovers: Vec<_> = std::fs::read_dir(scratch.ds("1")).expect("read").collect();
    assert_eq!(leftovers.len(), 1, "{leftovers:?}");
}

#[test]
fn bombs_links_and_foreign_places_are_refused() {
    let scratch = Scratch::new("unsafe");
    let mut agent = Channel::stdio(&scratch);
    let secret = scratch.write("secret", b"secret");
    let link = scratch.path().join("upload/link");
    scratch.write("upload/real", b"x");
    std::os::unix::fs::symlink(&secret, &link).expect("linked");
    for path in [
        secret,
        link,
        scratch.path().join("upload"),
        Path::new("/dev/zero").to_owned(),
    ] {
        agent
            .act(register(&scratch, &path, None, None))
            .expect_err("refused");
    }
    let fifo = scratch.path().join("upload/fifo");
    run("mkfifo", &[&text(&fifo)]);
    agent
        .act(register(&scratch, &fifo, None, None))
        .expect_err("a FIFO would wait for ever");
    let mut gzip = Command::new("gzip");
    gzip.arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = gzip.spawn().expect("started");
    let mut input = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || {
        for _ in 0..100 {
            input.write_all(&vec![0; 1 << 20]).expect("written");
        }
    });
    let packed = child.wait_with_output().expect("packed").stdout;
    writer.join().expect("written");
    let bomb = scratch.write("upload/bomb.gz", &packed);
    let error = agent
        .act(register(&scratch, &bomb, None, None))
        .expect_err("too large");
    assert!(error.text.contains("larger than the 64 MiB"), "{error}");
    assert!(!scratch.ds("1/image").exists());
}

#[test]
fn images_that_refer_to_other_files_are_refused() {
    if !has("qemu-img", "--version") {
        return;
    }
    let scratch = Scratch::new("evil");
    let mut agent = Channel::stdio(&scratch);
    let upload = |name: &str| text(&scratch.path().join("upload").join(name));
    scratch.write("upload/base.raw", &vec![0; 1 << 20]);
    run(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            &upload("base.raw"),
            &upload("backing"),
        ],
    );
    run(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            &format!("data_file={}", upload("data")),
            &upload("ext"),
            "1M",
        ],
    );
    run("qemu-img", &["create", "-q", "-f", "vmdk", &upload("vmdk"), "1M"]);
    run("qemu-img", &["create", "-q", "-f", "vdi", &upload("vdi"), "1M"]);
    run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", &upload("good"), "7M"],
    );
    for name in ["backing", "ext", "vmdk", "vdi"] {
        for format in [None, Some(DiskFormat::Raw), Some(DiskFormat::Qcow2)] {
            let action = register(&scratch, Path::new(&upload(name)), format, None);
            let error = agent.act(action).expect_err("refused");
            assert_eq!(error.kind, ErrorKind::Refused, "{name}: {error}");
        }
    }
    let packed = Command::new("gzip")
        .args(["-c", &upload("backing")])
        .output()
        .expect("packed")
        .stdout;
    let packed = scratch.write("upload/backing.gz", &packed);
    agent
        .act(register(&scratch, &packed, None, None))
        .expect_err("packing does not help");
    assert!(!scratch.ds("1/image").exists());
    let good = register(&scratch, Path::new(&upload("good")), None, None);
    let output = agent.act(good).expect("taken");
    assert_eq!(
        (output.size_mib, output.format),
        (Some(7), Some(DiskFormat::Qcow2))
    );
    let wrong = register(&scratch, Path::new(&upload("good")), Some(DiskFormat::Raw), None);
    agent.act(wrong).expect_err("announced as something else");
}

fn context(scratch: &Scratch, agent: &mut Channel) -> std::path::PathBuf {
    let files = vec![
        ContextFile {
            name: "context.sh".to_owned(),
            text: "# Context variables\nA='1'\n".to_owned(),
        },
        ContextFile {
            name: "A long file name (with blanks).txt".to_owned(),
            text: "x".repeat(5000),
        },
        ContextFile {
            name: "empty".to_owned(),
            text: String::new(),
        },
    ];
    let destination = scratch.ds_text("0/5/disk.1");
    let copied = scratch.ds_text("0/5/context.files/0");
    std::fs::create_dir_all(Path::new(&copied).parent().expect("has one")).expect("made");
    std::fs::write(&copied, COPIED).expect("written");
    agent
        .act(Action::ContextMake {
            destination: destination.clone(),
            files,
            copies: vec![ContextCopy {
                name: "copied.bin".into(),
                path: copied,
            }],
        })
        .expect("made");
    destination.into()
}

#[test]
fn the_context_disk_is_read_by_others() {
    let scratch = Scratch::new("context");
    let mut agent = Channel::stdio(&scratch);
    let image = context(&scratch, &mut agent);
    assert_eq!(image.metadata().expect("there").mode() & 0o777, 0o600);
    if has("isoinfo", "-version") {
        let image = text(&image);
        assert!(run("isoinfo", &["-d", "-i", &image]).contains("Volume id: CONTEXT"));
        for tree in ["-R", "-J"] {
            let list = run("isoinfo", &[tree, "-f", "-i", &image]);
            let names: Vec<&str> = list.lines().collect();
            assert!(
                names.contains(&"/context.sh") && names.contains(&"/empty"),
                "{tree}: {list}"
            );
            assert!(
                names.contains(&"/A long file name (with blanks).txt"),
                "{tree}: {list}"
            );
            let content = run("isoinfo", &[tree, "-x", "/context.sh", "-i", &image]);
            assert_eq!(content, "# Context variables\nA='1'\n", "{tree}");
            let copied = run("isoinfo", &[tree, "-x", "/copied.bin", "-i", &image]);
            assert_eq!(copied, COPIED, "{tree}");
        }
    }
    let bad = |name: &str| Action::ContextMake {
        destination: scratch.ds_text("0/5/disk.2"),
        files: vec![ContextFile {
            name: name.to_owned(),
            text: String::new(),
        }],
        copies: Vec::new(),
    };
    for name in ["", "../x", "a/b", ".hidden"] {
        agent.act(bad(name)).expect_err("not a plain name");
    }
}
