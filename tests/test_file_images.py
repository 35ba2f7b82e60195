"""File images in VMs: CONTEXT/FILES_DS, OS/KERNEL_DS and OS/INITRD_DS."""

import pytest

from harness import cloud
from harness.rpc import Session

ALLOCATE, AUTHORIZATION = 0x4000, 0x200
FILES_DS = 'NAME="{}"\nDS_MAD="dummy"\nTM_MAD="dummy"\nTYPE="FILE_DS"'


@pytest.fixture(scope="module")
def files(server):
    """Ids of a file image of each type, by type, and their datastore."""
    admin = Session(server)
    datastore = admin.ok("datastore.allocate", FILES_DS.format("file-images"), -1)
    made = {}
    for kind in ("CONTEXT", "KERNEL", "RAMDISK"):
        made[kind] = admin.ok("image.allocate", f'NAME="a {kind} file"\nTYPE="{kind}"\nPATH="/etc/hostname"', datastore)
        cloud.state_await(admin, "image.info", made[kind], 1)
    made["datastore"] = datastore
    return made


def vm(session, more):
    return session.call("vm.allocate", cloud.VM.format("with-files") + "\n" + more, True)


def source(admin, image):
    return admin.ok("image.info", image).partition("<SOURCE><![CDATA[")[2].partition("]]>")[0]


@pytest.mark.parametrize("reference", ["$FILE[IMAGE_ID={id}]", '$FILE[IMAGE=\\"a CONTEXT file\\"]', '$FILE[IMAGE=\\"a CONTEXT file\\",IMAGE_UNAME=oneadmin]'])
def test_files_of_the_context(admin, files, reference):
    answer = vm(admin, f'CONTEXT=[FILES_DS="{reference.format(id=files["CONTEXT"])}",A="$NAME"]')
    body = admin.ok("vm.info", answer.value)
    assert f"<FILES_DS><![CDATA[{source(admin, files['CONTEXT'])}:'a CONTEXT file']]></FILES_DS>" in body
    assert "<A><![CDATA[with-files]]></A>" in body


def test_kernel_and_ram_disk(admin, files):
    answer = vm(
        admin,
        f'OS=[KERNEL_DS="$FILE[IMAGE_ID={files["KERNEL"]}]",INITRD_DS="$FILE[IMAGE_ID={files["RAMDISK"]}]"]',
    )
    body = admin.ok("vm.info", answer.value)
    for name, kind in (("KERNEL_DS", "KERNEL"), ("INITRD_DS", "RAMDISK")):
        for suffix, value in (
            ("ID", files[kind]),
            ("SOURCE", source(admin, files[kind])),
            ("DSID", files["datastore"]),
            ("TM", "dummy"),
            ("CLUSTER_ID", 0),
        ):
            assert f"<{name}_{suffix}><![CDATA[{value}]]></{name}_{suffix}>" in body


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('CONTEXT=[FILES_DS="$FILE[IMAGE_ID={KERNEL}]"]', "is of type KERNEL, not CONTEXT"),
        ('CONTEXT=[FILES_DS="$FILE[IMAGE_ID={CONTEXT}] $FILE[IMAGE_ID={CONTEXT}]"]', "two images with the name"),
        ('CONTEXT=[FILES_DS="/etc/passwd"]', "Wrong value of CONTEXT/FILES_DS"),
        ('CONTEXT=[FILES="/etc/passwd"]', "CONTEXT/FILES is not supported"),
        ('OS=[KERNEL_DS="$FILE[IMAGE_ID={CONTEXT}]"]', "is of type CONTEXT, not KERNEL"),
        ('OS=[KERNEL_DS="$FILE[IMAGE_ID={KERNEL}] $FILE[IMAGE_ID={KERNEL}]"]', "names more than one image"),
        ('OS=[INITRD_DS="$FILE[IMAGE=nosuch]"]', "nosuch"),
    ],
)
def test_what_cannot_be_used(admin, files, more, words):
    answer = vm(admin, more.format(**files))
    assert answer.outcome == "error" and answer.code == ALLOCATE, answer
    assert words in answer.value


def test_an_image_that_does_not_exist(admin, files):
    answer = vm(admin, 'CONTEXT=[FILES_DS="$FILE[IMAGE_ID=987654]"]')
    assert answer.outcome == "error" and "987654" in answer.value


def test_the_owner_decides(server, admin, files):
    admin.ok("user.allocate", "dora", "secret", "", [])
    dora = Session(server, "dora:secret")
    for more in ('CONTEXT=[FILES_DS="$FILE[IMAGE_ID={CONTEXT}]"]', 'OS=[KERNEL_DS="$FILE[IMAGE_ID={KERNEL}]"]'):
        answer = vm(dora, more.format(**files))
        assert answer.outcome == "error" and answer.code == AUTHORIZATION, answer
    admin.ok("image.chmod", files["CONTEXT"], 1, 1, 0, 0, 0, 0, 1, 0, 0)
    assert vm(dora, f'CONTEXT=[FILES_DS="$FILE[IMAGE_ID={files["CONTEXT"]}]"]').outcome == "ok"
