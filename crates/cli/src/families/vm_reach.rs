//! `onevm`: ways into a running VM: SSH into the guest, its screen and its serial console over its host.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use roxmltree::Node;

use super::port_forward;
use super::vm_place::{host_of, nics_of};
use crate::error::CliError;
use crate::family::Input;
use crate::kind::Kind;
use crate::session::Session;
use crate::xml;

/// Who is logged in as when the caller names nobody.
const LOGIN_DEFAULT: &str = "root";
/// How a screen is shown in a viewer.
struct Protocol {
    /// What `GRAPHICS/TYPE` is, the option that names another viewer, and the word of the server's page.
    word: &'static str,
    /// The viewer unless the option names another.
    viewer: &'static str,
    /// What the viewer is given before the port of this machine that leads to the screen.
    address: &'static str,
}

const VNC: Protocol = Protocol {
    word: "vnc",
    viewer: "vncviewer",
    address: "127.0.0.1::",
};
const SPICE: Protocol = Protocol {
    word: "spice",
    viewer: "remote-viewer",
    address: "spice://127.0.0.1:",
};

/// Where guests listen for SSH.
const SSH_PORT: u16 = 22;
/// The status of an answer that is good.
const HTTP_OK: u16 = 200;
/// How libvirt is reached on a host.
const LIBVIRT_URI: &str = "qemu:///system";
/// Addresses of a NIC, the first that it has is taken.
const ADDRESSES: [&str; 4] = ["IP", "EXTERNAL_IP", "IP6_GLOBAL", "IP6"];

/// `ssh`: logs in to the guest, or runs `--cmd` there.
pub fn ssh(session: &mut Session, input: &Input) -> Result<(), CliError> {
    let text = session.info(Kind::Vm, input.id(0))?;
    let document = xml::document_parse(&text)?;
    let vm = document.root_element();
    let nic = input.value("nic-id");
    let forwarded = match port_forward::of(vm, nic)? {
        Some(forward) => forward.outside(SSH_PORT).map(|port| (forward.host.clone(), port)),
        None => None,
    };
    let (address, port) = match forwarded {
        Some((host, port)) => (host, Some(port)),
        None => (address_of(vm, nic)?, None),
    };
    let login = match input.text(1) {
        "" => LOGIN_DEFAULT,
        name => name,
    };
    let mut command = Command::new("ssh");
    command.args(input.value("ssh-options").unwrap_or_default().split_whitespace());
    command.args(port.map(|port| format!("-p{port}")));
    command.args(["-l", login, "--", &address]);
    command.args(input.value("cmd"));
    run(command)
}

/// `vnc`: shows the VM's screen in a viewer, through an SSH tunnel to its host; with `--web` prints where a browser sees it.
pub fn vnc(session: &mut Session, input: &Input) -> Result<(), CliError> {
    screen_show(session, input, &VNC)
}

/// `spice`: the same of a VM whose screen is by SPICE.
pub fn spice(session: &mut Session, input: &Input) -> Result<(), CliError> {
    screen_show(session, input, &SPICE)
}

fn screen_show(session: &mut Session, input: &Input, protocol: &Protocol) -> Result<(), CliError> {
    if input.has("web") {
        return web_print(session, input.id(0), protocol.word, "");
    }
    let text = session.info(Kind::Vm, input.id(0))?;
    let document = xml::document_parse(&text)?;
    let screen = Screen::of(document.root_element(), protocol)?;
    let viewer = input.value(protocol.word).unwrap_or(protocol.viewer);
    let mut words = viewer.split_whitespace();
    let viewer = words.next().unwrap_or(protocol.viewer);
    let tunnel = Tunnel::open(&screen)?;
    let mut command = Command::new(viewer);
    command
        .args(words)
        .arg(format!("{}{}", protocol.address, tunnel.port));
    let ran = run(command);
    tunnel.close()?;
    ran
}

/// Prints the address of a page with a console of the VM. Its token is in the fragment, which browsers send to nobody.
fn web_print(session: &mut Session, id: i32, kind: &str, more: &str) -> Result<(), CliError> {
    let client = session.client()?;
    let (status, text) = client.form_post("/console/token", &format!("vm={id}&kind={kind}{more}"))?;
    if status != HTTP_OK {
        return Err(CliError::text(text.trim()));
    }
    let answer: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| CliError::text(format!("The server's answer is no JSON: {error}")))?;
    let token = answer.get("token").and_then(serde_json::Value::as_str);
    let token = token.ok_or_else(|| CliError::text("The server's answer holds no token."))?;
    let base = client.base();
    session.print(&format!("{base}/console/{kind}.html#vm={id}&token={token}\n"))
}

/// `console`: the VM's serial console on this terminal; `Ctrl` and `]` leave it. With `--web` prints where a browser sees it.
pub fn console(session: &mut Session, input: &Input) -> Result<(), CliError> {
    if input.has("web") {
        let force = if input.has("force") { "&force=yes" } else { "" };
        return web_print(session, input.id(0), "serial", force);
    }
    let text = session.info(Kind::Vm, input.id(0))?;
    let document = xml::document_parse(&text)?;
    let vm = document.root_element();
    let host = host_of(vm)?;
    let domain = domain_of(vm)?;
    let mut command = Command::new("ssh");
    command.args(["-q", "-t", "-t", "--", &host]);
    command.args(["virsh", "-c", LIBVIRT_URI, "console", &domain]);
    if input.has("force") {
        command.arg("--force");
    }
    run(command)
}

/// A VM's screen on its host.
struct Screen {
    host: String,
    /// Where QEMU listens there.
    address: IpAddr,
    port: u16,
}

impl Screen {
    fn of(vm: Node<'_, '_>, protocol: &Protocol) -> Result<Self, CliError> {
        let host = host_of(vm)?;
        let id = xml::text(vm, "ID");
        let graphics = xml::at(vm, "TEMPLATE").into_iter().flat_map(xml::elements);
        let graphics = graphics
            .filter(|node| node.has_tag_name("GRAPHICS"))
            .find(|node| xml::text(*node, "TYPE").eq_ignore_ascii_case(protocol.word));
        let Some(graphics) = graphics else {
            let kind = protocol.word.to_ascii_uppercase();
            return Err(CliError::text(format!(
                "VM {id} has no {kind} screen. Power it off and give it one: onevm updateconf {id} with \
                 GRAPHICS = [ TYPE = {kind}, LISTEN = 127.0.0.1 ]; or use onevm console {id}."
            )));
        };
        let port = xml::text(graphics, "PORT");
        let port = port.parse().map_err(|_| {
            CliError::text(format!(
                "The screen of VM {id} has no port that can be used: PORT is '{port}'."
            ))
        })?;
        Ok(Self {
            host,
            address: listen_address(&xml::text(graphics, "LISTEN")),
            port,
        })
    }
}

/// Where a listener is reached from its own host.
fn listen_address(listen: &str) -> IpAddr {
    match listen.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => address,
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

/// A port of this machine that leads to a VM's screen.
struct Tunnel {
    port: u16,
    host: String,
    directory: PathBuf,
}

impl Tunnel {
    /// Opens it; ssh goes to the background when the port is listened on.
    fn open(screen: &Screen) -> Result<Self, CliError> {
        let tunnel = Self {
            port: port_free()?,
            host: screen.host.clone(),
            directory: directory_make()?,
        };
        let far = match screen.address {
            IpAddr::V6(address) => format!("[{address}]"),
            IpAddr::V4(address) => address.to_string(),
        };
        let mut command = Command::new("ssh");
        command.args(["-f", "-N", "-M", "-S"]).arg(tunnel.control());
        command.args(["-o", "ExitOnForwardFailure=yes", "-o", "ControlPersist=no", "-L"]);
        command.arg(format!("127.0.0.1:{}:{far}:{}", tunnel.port, screen.port));
        command.args(["--", &screen.host]);
        match run(command) {
            Ok(()) => Ok(tunnel),
            Err(error) => {
                tunnel.forget()?;
                Err(error)
            }
        }
    }

    fn control(&self) -> OsString {
        self.directory.join("control").into_os_string()
    }

    fn close(self) -> Result<(), CliError> {
        let mut command = Command::new("ssh");
        command.args(["-q", "-S"]).arg(self.control());
        command.args(["-O", "exit", "--", &self.host]);
        let ended = run(command);
        self.forget()?;
        ended
    }

    fn forget(&self) -> Result<(), CliError> {
        std::fs::remove_dir_all(&self.directory).map_err(|error| {
            CliError::text(format!("{} cannot be removed: {error}", self.directory.display()))
        })
    }
}

/// A port of the loopback that nobody listens on. Should somebody take it before ssh does, ssh says so and ends.
fn port_free() -> Result<u16, CliError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| CliError::text(format!("No port of 127.0.0.1 can be had: {error}")))
}

/// A directory that nobody else can enter.
fn directory_make() -> Result<PathBuf, CliError> {
    let path = std::env::temp_dir().join(format!("one-vnc-{}", std::process::id()));
    DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(|error| CliError::text(format!("{} cannot be created: {error}", path.display())))?;
    Ok(path)
}

/// The address of a guest: that of the NIC `nic_id`, else of the first that has one.
fn address_of(vm: Node<'_, '_>, nic_id: Option<&str>) -> Result<String, CliError> {
    let address = nics_of(vm, nic_id)?
        .iter()
        .flat_map(|nic| ADDRESSES.map(|name| xml::text(*nic, name)))
        .find(|address| address.parse::<IpAddr>().is_ok());
    address.ok_or_else(|| {
        let id = xml::text(vm, "ID");
        CliError::text(format!(
            "No NIC of VM {id} has an IP address that Plerion knows. If the guest got one from elsewhere, use ssh \
             with that; without a network, use onevm console {id}."
        ))
    })
}

/// The name of a VM's domain. A shell on the host reads it, so nothing but a plain word is taken.
fn domain_of(vm: Node<'_, '_>) -> Result<String, CliError> {
    let name = xml::text(vm, "DEPLOY_ID");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() {
        return Err(CliError::text(format!(
            "VM {} has not been started on its host yet.",
            xml::text(vm, "ID")
        )));
    }
    if name.starts_with('-') || !name.bytes().all(plain) {
        return Err(CliError::text(format!(
            "The domain's name '{name}' is no plain word of letters, digits, '.', '_' and '-'. Use virsh on its host."
        )));
    }
    Ok(name)
}

/// Runs a program on this terminal to its end.
fn run(mut command: Command) -> Result<(), CliError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| {
        CliError::text(format!(
            "'{name}' cannot be started: {error}. Is it installed and on the PATH?"
        ))
    })?;
    if status.success() {
        return Ok(());
    }
    Err(CliError::text(format!("'{name}' failed ({}).", words(status))))
}

fn words(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "<VM><ID>7</ID><STATE>3</STATE><DEPLOY_ID>one-7</DEPLOY_ID><TEMPLATE>\
        <NIC><NIC_ID>0</NIC_ID><MAC>02:00:00:00:00:01</MAC></NIC>\
        <NIC><NIC_ID>1</NIC_ID><IP>192.0.2.9</IP></NIC>\
        <NIC_ALIAS><NIC_ID>2</NIC_ID><IP6>2001:db8::1</IP6></NIC_ALIAS>\
        <GRAPHICS><TYPE>vnc</TYPE><LISTEN>0.0.0.0</LISTEN><PORT>5907</PORT></GRAPHICS></TEMPLATE>\
        <HISTORY_RECORDS><HISTORY><HOSTNAME>one</HOSTNAME></HISTORY>\
        <HISTORY><HOSTNAME>two</HOSTNAME></HISTORY></HISTORY_RECORDS></VM>";

    fn with<T>(text: &str, look: impl FnOnce(Node<'_, '_>) -> T) -> T {
        let document = xml::document_parse(text).expect("well-formed");
        look(document.root_element())
    }

    #[test]
    fn a_guest_is_reached_at_the_first_address_or_at_that_of_a_nic() {
        let address =
            |nic: Option<&str>| with(VM, |vm| address_of(vm, nic).map_err(|error| error.to_string()));
        assert_eq!(address(None), Ok("192.0.2.9".into()));
        assert_eq!(address(Some("2")), Ok("2001:db8::1".into()));
        assert_eq!(address(Some("5")), Err("VM 7 has no NIC 5.".into()));
        assert!(address(Some("0")).is_err_and(|text| text.contains("onevm console 7")));
        let hostile = VM.replace("192.0.2.9", "-oProxyCommand=x");
        assert!(with(&hostile, |vm| address_of(vm, Some("1"))).is_err());
    }

    #[test]
    fn the_screen_is_on_the_last_host() {
        let screen = with(VM, |vm| Screen::of(vm, &VNC)).expect("a screen");
        assert_eq!((screen.host.as_str(), screen.port), ("two", 5907));
        assert_eq!(screen.address, IpAddr::from(Ipv4Addr::LOCALHOST));
        let spice = VM.replace("vnc", "spice");
        let no_vnc = with(&spice, |vm| Screen::of(vm, &VNC));
        assert!(no_vnc.is_err_and(|error| error.to_string().contains("no VNC screen")));
        let port = with(&spice, |vm| Screen::of(vm, &SPICE)).map(|screen| screen.port);
        assert_eq!(port.ok(), Some(5907));
        let off = VM.replace("<STATE>3", "<STATE>8");
        assert!(
            with(&off, |vm| Screen::of(vm, &VNC))
                .is_err_and(|error| error.to_string().contains("on no host"))
        );
    }

    #[test]
    fn a_domain_name_is_a_plain_word() {
        for (name, good) in [("one-7", true), ("a;reboot", false), ("-c", false), ("", false)] {
            let text = VM.replace("one-7", name);
            assert_eq!(with(&text, domain_of).is_ok(), good, "{name}");
        }
    }
}
