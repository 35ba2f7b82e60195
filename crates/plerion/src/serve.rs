//! `plerion serve`: the front-end.

use std::fs::OpenOptions;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use plerion_api::xmlrpc::{Limits, Tls, serve};
use plerion_api::{ApiService, ConsoleSettings, PageDirectories};
use plerion_drivers::{GREETING_MAX, ProcessLinks, SshSettings, program_identity};
use plerion_engine::{
    AuthPlaces, Engine, EngineSettings, HookSettings, SamplesKept, SystemClock, VmFilesSettings,
    password_hash,
};
use plerion_store::{SampleReader, SampleStore};
use plerion_world::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::auth_file;
use crate::configuration;
use crate::database;
use crate::one_key;
use crate::places::Places;
use crate::service_auth;
use crate::tls;

/// Seconds between measurements of datastores by scripts, unless oned.conf says `MONITORING_INTERVAL_DATASTORE`.
const DATASTORE_INTERVAL_S: u32 = 300;
/// How long a server that starts waits for a port that is in use.
const PORT_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks at such a port: nothing tells when it is free.
const PORT_LOOK: Duration = Duration::from_millis(50);
/// Where distributions install noVNC, unless `PLERION_NOVNC_DIR` says otherwise.
const NOVNC: &str = "/usr/share/novnc";
/// Where they install spice-html5, unless `PLERION_SPICE_DIR` says otherwise.
const SPICE: &str = "/usr/share/spice-html5";
/// Where they install xterm.js for Node.js, unless `PLERION_XTERM_DIR` says otherwise.
const XTERM: &str = "/usr/share/nodejs/xterm";
/// Seconds between samples of hosts, unless oned.conf says `MONITORING_INTERVAL_HOST`.
const MONITOR_INTERVAL_S: u32 = 30;

/// Seconds for which samples of hosts are kept, unless oned.conf says `HOST_MONITORING_EXPIRATION_TIME`.
const HOST_SAMPLES_S: u32 = 12 * 3600;
/// Seconds for which samples of VMs are kept, unless oned.conf says `VM_MONITORING_EXPIRATION_TIME`.
const VM_SAMPLES_S: u32 = 4 * 3600;

/// Runs the front-end until it is told to stop.
pub(crate) fn serve_main() -> ExitCode {
    let places = Places::of_environment();
    if let Err(error) = places.make() {
        eprintln!("plerion serve: {error}: make it, writable for this user, or set ONE_LOCATION");
        return ExitCode::FAILURE;
    }
    if let Err(error) = log_start(&places) {
        eprintln!("plerion serve: {error}");
        return ExitCode::FAILURE;
    }
    pages_small();
    match run(&places) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the kernel for small pages. The allocator spreads objects by size and asks for huge pages beneath each kind; ten
/// thousand VMs then take a third more memory, and no call becomes faster by it. Children inherit this.
fn pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages cannot be switched off: the process takes more memory");
    }
}

/// Logs go to standard error and to oned.log.
fn log_start(places: &Places) -> Result<(), String> {
    let path = places.log.join("oned.log");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLERION_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let file = Mutex::new(file);
    let writer = tracing_subscriber::fmt::writer::MakeWriterExt::and(std::io::stderr, file);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(writer)
        // A line that cannot be written (no reader, no space) is lost; to say so on standard error would end the thread.
        .log_internal_errors(false)
        .init();
    Ok(())
}

fn run(places: &Places) -> Result<(), String> {
    let oned = configuration::read(&places.etc.join("oned.conf"))?;
    let hypervisor_conf = configuration::read(&places.etc.join("vmm_exec/vmm_exec_kvm.conf"))?;
    for name in plerion_drivers::hypervisor_conf_unknown(&hypervisor_conf) {
        tracing::warn!("vmm_exec_kvm.conf: {name} is not known and has no effect");
    }
    let mut config = Config::new(oned, &places.var.join("datastores").to_string_lossy());
    config.time_zone = TimeZone::system();
    config.secrets.key_set(&one_key::read_or_make(&places.var)?);
    let address = listen_address(&config)?;
    let tls = tls::of_config(&config.attributes, &places.etc)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let listener = runtime.block_on(listen(address)).map_err(|error| {
        format!("cannot listen on {address}: {error}; another server uses the port, or set PORT in oned.conf")
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let (failed_sender, failed) = oneshot::channel();
    let ssh = ssh_settings(places, &config)?;
    let engine = engine_start(places, config, address, &ssh, hypervisor_conf, failed_sender)?;
    let consoles = console_settings(ssh);
    let service = Arc::new(ApiService::new(engine.clone(), consoles));
    let result = runtime.block_on(serve_until_told(listener, tls, service, failed));
    engine.stop();
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

fn console_settings(ssh: SshSettings) -> ConsoleSettings {
    let directory = |variable, usual: &str| {
        std::env::var_os(variable).map_or_else(|| PathBuf::from(usual), PathBuf::from)
    };
    let serial_ssh = ssh.clone();
    ConsoleSettings {
        tunnels: Arc::new(move |host, far| ssh.tunnel_command(host, far)),
        serial_lines: Arc::new(move |host, domain, force| serial_ssh.serial_command(host, domain, force)),
        directories: PageDirectories {
            novnc: directory("PLERION_NOVNC_DIR", NOVNC),
            spice: directory("PLERION_SPICE_DIR", SPICE),
            xterm: directory("PLERION_XTERM_DIR", XTERM),
        },
    }
}

/// Listens on an address. Of a server that was killed, what it had just forked holds the port until it becomes the program
/// that it was forked for; on a busy machine that may be after the next server has started. So a port in use is asked for
/// again for a time, [`PORT_WAIT`].
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let first = TcpListener::bind(address).await;
    if !first.as_ref().is_err_and(port_in_use) {
        return first;
    }
    tracing::warn!(
        "{address} is in use: waiting up to {} s for it",
        PORT_WAIT.as_secs()
    );
    let begun = Instant::now();
    loop {
        tokio::time::sleep(PORT_LOOK).await;
        let bound = TcpListener::bind(address).await;
        if begun.elapsed() > PORT_WAIT || !bound.as_ref().is_err_and(port_in_use) {
            return bound;
        }
    }
}

fn port_in_use(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrInUse
}

fn listen_address(config: &Config) -> Result<SocketAddr, String> {
    let text = |name: &str| config.attributes.get(name).unwrap_or_default();
    let port = text("PORT")
        .parse()
        .map_err(|_| format!("oned.conf: PORT \"{}\" is no port", text("PORT")))?;
    let address: IpAddr = match text("LISTEN_ADDRESS") {
        "" => Ipv4Addr::LOCALHOST.into(),
        given => given
            .parse()
            .map_err(|_| format!("oned.conf: LISTEN_ADDRESS \"{given}\" is no IP address"))?,
    };
    Ok(SocketAddr::new(address, port))
}

/// How hosts are reached.
fn ssh_settings(places: &Places, config: &Config) -> Result<SshSettings, String> {
    let (program, identity) =
        program_identity().map_err(|error| format!("cannot read this program: {error}"))?;
    let options = config.attributes.get("SSH_OPTIONS").unwrap_or_default();
    Ok(SshSettings {
        options: options.split_whitespace().map(str::to_owned).collect(),
        program,
        identity,
        state_dir: places.var.join("node"),
        greeting: GREETING_MAX,
    })
}

fn engine_start(
    places: &Places,
    config: Config,
    address: SocketAddr,
    ssh: &SshSettings,
    hypervisor_conf: plerion_template::Template,
    failed: oneshot::Sender<String>,
) -> Result<Arc<Engine>, String> {
    let (store, reader) = database::open(places, &config)?;
    let interval = |name: &str| config.attributes.get(name).and_then(|text| text.parse().ok());
    let host_interval_s = interval("MONITORING_INTERVAL_HOST").unwrap_or(MONITOR_INTERVAL_S);
    let datastore_interval_s = interval("MONITORING_INTERVAL_DATASTORE").unwrap_or(DATASTORE_INTERVAL_S);
    let samples_kept = SamplesKept {
        hosts_s: interval("HOST_MONITORING_EXPIRATION_TIME").unwrap_or(HOST_SAMPLES_S),
        vms_s: interval("VM_MONITORING_EXPIRATION_TIME").unwrap_or(VM_SAMPLES_S),
    };
    let links = ProcessLinks::new(ssh.clone());
    let log_with_vm = config.attributes.pair("LOG", "USE_VMS_LOCATION");
    let vm_files = VmFilesSettings {
        vms: places.var.join("vms"),
        logs: (!places.is_self_contained()
            && !log_with_vm.is_some_and(|text| text.eq_ignore_ascii_case("yes")))
        .then(|| places.log.clone()),
    };
    // Read before the state is loaded, so that a first start with a wrong file changes nothing.
    let credentials = auth_file::read_or_make()?;
    let password = password_hash(&credentials.password)?;
    let hooks = hook_settings(places, &config, address)?;
    let services = places.var.join(".one");
    let settings = EngineSettings {
        store,
        reader,
        config,
        hypervisor_conf,
        clock: Arc::new(SystemClock),
        links: Arc::new(links),
        holder: format!("{}", std::process::id()),
        first: Box::new(move || Ok([(credentials.name, password), service_auth::make(&services)?])),
        monitor_interval_s: host_interval_s,
        datastore_interval_s: datastore_interval_s.max(1),
        samples: samples_open(places),
        samples_kept,
        remotes: places.var.join("remotes"),
        vm_files: Some(vm_files),
        auth: AuthPlaces {
            scripts: places.var.join("remotes/auth"),
            ldap_conf: places.etc.join("auth/ldap_auth.conf"),
            ldap_mappings: places.var.clone(),
            settings: places.etc.join("auth"),
        },
        hooks: Some(hooks),
        failed: Box::new(move |error| {
            // When nobody waits any more, the front-end is stopping already.
            let _ = failed.send(error.to_string());
        }),
    };
    Engine::start(settings).map_err(|error| error.to_string())
}

/// Where samples are kept. The front-end does without where they cannot be.
fn samples_open(places: &Places) -> Option<(SampleStore, SampleReader)> {
    match SampleStore::open(&places.var.join("monitoring.db")) {
        Ok(opened) => Some(opened),
        Err(error) => {
            tracing::error!("there will be no history of samples: {error}");
            None
        }
    }
}

/// How hooks are run: with an environment in which `onevm` and its like are found, and find this server.
fn hook_settings(places: &Places, config: &Config, address: SocketAddr) -> Result<HookSettings, String> {
    let bin = places.var.join("bin");
    commands_link(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
    let mut path = bin.into_os_string();
    if let Some(own) = std::env::var_os("PATH") {
        path.push(":");
        path.push(own);
    }
    let ip = if address.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        address.ip()
    };
    let server = SocketAddr::new(ip, address.port());
    let ssh_options = config.attributes.get("SSH_OPTIONS").unwrap_or_default();
    Ok(HookSettings {
        directory: places.var.join("remotes/hooks"),
        host_directory: "/var/tmp/one/hooks".into(),
        environment: vec![
            ("PATH".into(), path.to_string_lossy().into_owned()),
            ("ONE_XMLRPC".into(), format!("http://{server}/RPC2")),
        ],
        ssh_options: ssh_options.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Links of the commands' names to this program.
fn commands_link(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let program = std::env::current_exe()?;
    for name in plerion_cli::command_names() {
        let link = directory.join(name);
        if std::fs::read_link(&link).is_ok_and(|found| found == program) {
            continue;
        }
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::os::unix::fs::symlink(&program, &link)?,
        }
    }
    Ok(())
}

async fn serve_until_told(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    service: Arc<ApiService>,
    failed: oneshot::Receiver<String>,
) -> Result<(), String> {
    let signals = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let (mut terminate, mut interrupt) = (
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    );
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let (stop, stopped) = oneshot::channel::<()>();
    let with_tls = tls.is_some();
    let server = tokio::spawn(serve(listener, tls, service, Limits::default(), async {
        // Either end of the channel means to stop.
        let _ = stopped.await;
    }));
    tracing::info!("serving on http://{address}/RPC2");
    if with_tls {
        tracing::info!("serving on https://{address}/RPC2");
    }
    ready_tell();
    let result = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        reason = failed => Err(reason.unwrap_or_else(|_| "the writer ended".into())),
    };
    drop(stop);
    if result.is_ok() && server.await.is_err() {
        tracing::warn!("the server ended badly");
    }
    result
}

/// Tells the service manager that calls are answered (`NOTIFY_SOCKET`), where there is one.
fn ready_tell() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent =
        std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", path));
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot tell the service manager that the server is ready");
    }
}
