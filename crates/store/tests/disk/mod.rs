//! A disk that can be made to fail, below SQLite: a shim over its ordinary file layer (VFS).
//!
//! Files lie in the file system as ever, and reads come from there. Beside that the shim keeps, for each file of a
//! watched directory, what a power cut would leave: what was written before the last sync of the file for sure, and of
//! what was written after it any part, sector by sector. So a power cut is a matter of writing these images to another
//! directory.
//!
//! The layer is a table of C functions, which cannot be given without unsafe code. All of it is here. It rests on what
//! SQLite promises: files are handed to the functions of the VFS that opened them, between their open and their close,
//! and lie in memory of `szOsFile` bytes that SQLite gives.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rusqlite::ffi;

/// Disks write whole sectors or nothing.
const SECTOR: usize = 512;

/// A source of the same draws for the same seed.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What becomes of writes that were not synced when the power goes.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced {
    /// All are lost.
    Lost,
    /// All were on their way in time.
    Kept,
    /// Each sector for itself.
    Any,
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes after so many writes, truncations and syncs.
    Cut { after: u64 },
    /// A sync (of the file of a name, if one is named) fails, after so many that work; and what it should have made durable may be lost, though it is still
    /// there to be read.
    Sync { after: u64, of: Option<&'static str> },
    /// Only so many more bytes can be written.
    Full { bytes: u64 },
}

#[derive(Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Debug, Default)]
struct Image {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Disk {
    draw: Draw,
    images: BTreeMap<String, Image>,
    fault: Option<Fault>,
    /// The fault has happened.
    failed: bool,
    /// Without power nothing works.
    dead: bool,
}

static DISKS: Mutex<BTreeMap<PathBuf, Disk>> = Mutex::new(BTreeMap::new());

fn disks() -> MutexGuard<'static, BTreeMap<PathBuf, Disk>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(directory: &Path, run: impl FnOnce(&mut Disk) -> T) -> T {
    run(disks().get_mut(directory).expect("a watched directory"))
}

/// Watches a directory in which SQLite has opened nothing yet.
pub fn watch(directory: &Path, seed: u64) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    let disk = Disk {
        draw: Draw::new(seed),
        images: BTreeMap::new(),
        fault: None,
        failed: false,
        dead: false,
    };
    disks().insert(directory.to_owned(), disk);
}

/// Lets something go wrong from now on.
pub fn arm(directory: &Path, fault: Fault) {
    with(directory, |disk| disk.fault = Some(fault));
}

/// Whether what was armed has happened.
pub fn has_failed(directory: &Path) -> bool {
    with(directory, |disk| disk.failed)
}

/// Cuts the power and puts what is left into another directory. The shim forgets the first one's files.
pub fn power_cut(directory: &Path, unsynced: Unsynced, to: &Path) {
    let images = with(directory, |disk| {
        disk.dead = true;
        let draw = &mut disk.draw;
        std::mem::take(&mut disk.images)
            .into_iter()
            .map(|(name, image)| (name, image.left(unsynced, draw)))
            .collect::<Vec<_>>()
    });
    std::fs::create_dir_all(to).expect("a directory");
    for (name, bytes) in images {
        std::fs::write(to.join(name), bytes).expect("written");
    }
}

impl Image {
    /// What a power cut leaves.
    fn left(mut self, unsynced: Unsynced, draw: &mut Draw) -> Vec<u8> {
        self.settle(unsynced, draw);
        self.durable
    }

    /// Makes pending changes durable, or not.
    fn settle(&mut self, unsynced: Unsynced, draw: &mut Draw) {
        let mut kept = || match unsynced {
            Unsynced::Lost => false,
            Unsynced::Kept => true,
            Unsynced::Any => draw.below(2) == 0,
        };
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Truncate(length) => {
                    if kept() {
                        self.durable.truncate(length);
                    }
                }
                Pending::Write(offset, bytes) => {
                    for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                        if kept() {
                            let start = offset + index * SECTOR;
                            let end = start + sector.len();
                            if self.durable.len() < end {
                                self.durable.resize(end, 0);
                            }
                            self.durable[start..end].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
    }
}

impl Disk {
    /// Counts an operation down to a power cut.
    fn step(&mut self) -> Result<(), c_int> {
        if let Some(Fault::Cut { after }) = &mut self.fault {
            match after.checked_sub(1) {
                Some(left) => *after = left,
                None => {
                    self.dead = true;
                    self.failed = true;
                }
            }
        }
        if self.dead { Err(ffi::SQLITE_IOERR) } else { Ok(()) }
    }

    fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) -> Result<(), c_int> {
        self.step()?;
        if let Some(Fault::Full { bytes: room }) = &mut self.fault {
            match room.checked_sub(bytes.len() as u64) {
                Some(left) => *room = left,
                None => {
                    *room = 0;
                    self.failed = true;
                    return Err(ffi::SQLITE_FULL);
                }
            }
        }
        let pending = Pending::Write(offset, bytes.to_vec());
        self.images
            .entry(name.to_owned())
            .or_default()
            .pending
            .push(pending);
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: usize) -> Result<(), c_int> {
        self.step()?;
        let pending = Pending::Truncate(length);
        self.images
            .entry(name.to_owned())
            .or_default()
            .pending
            .push(pending);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> Result<(), c_int> {
        self.step()?;
        let image = self.images.entry(name.to_owned()).or_default();
        if let Some(Fault::Sync { after, of }) = &mut self.fault
            && of.is_none_or(|of| of == name)
        {
            match after.checked_sub(1) {
                Some(left) => *after = left,
                None => {
                    // Once only, as the kernel does: the next sync finds nothing amiss.
                    self.fault = None;
                    self.failed = true;
                    image.settle(Unsynced::Any, &mut self.draw);
                    return Err(ffi::SQLITE_IOERR_FSYNC);
                }
            }
        }
        image.settle(Unsynced::Kept, &mut self.draw);
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), c_int> {
        self.step()?;
        self.images.remove(name);
        Ok(())
    }
}

/// A file as SQLite holds it: first the functions, as the interface wants it, then ours; behind it lies the file of the
/// ordinary layer.
#[repr(C)]
struct Shim {
    methods: *const ffi::sqlite3_io_methods,
    place: *mut Place,
}

/// Which file it is: null in a [`Shim`] for files that are not watched.
struct Place {
    directory: PathBuf,
    name: String,
}

fn place_of(path: &Path) -> Option<Place> {
    let directory = path.parent()?;
    disks().contains_key(directory).then(|| Place {
        directory: directory.to_owned(),
        name: path
            .file_name()
            .expect("a file")
            .to_str()
            .expect("text")
            .to_owned(),
    })
}

/// Asks the disk of a file, if it is watched.
///
/// # Safety
/// `file` was opened by [`open`] and is not closed.
unsafe fn ask(
    file: *mut ffi::sqlite3_file,
    run: impl FnOnce(&mut Disk, &str) -> Result<(), c_int>,
) -> Result<(), c_int> {
    // SAFETY: the file is a Shim, and its place lives until close.
    let place = unsafe { (*file.cast::<Shim>()).place.as_ref() };
    match place {
        Some(place) => with(&place.directory, |disk| run(disk, &place.name)),
        None => Ok(()),
    }
}

/// The file of the ordinary layer, and its functions.
///
/// # Safety
/// As for [`ask`].
unsafe fn inner(file: *mut ffi::sqlite3_file) -> (*mut ffi::sqlite3_file, &'static ffi::sqlite3_io_methods) {
    // SAFETY: `open` has put an open file there, whose functions are static.
    unsafe {
        let inner = file.cast::<Shim>().add(1).cast::<ffi::sqlite3_file>();
        (inner, &*(*inner).pMethods)
    }
}

fn ordinary() -> *mut ffi::sqlite3_vfs {
    // SAFETY: the name ends with a zero; this layer is built in and never goes.
    unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) }
}

/// Makes the shim the layer of all files that this process opens from now on.
fn register() {
    let ordinary = ordinary();
    // SAFETY: SQLite is initialized by vfs_find. The copy has the ordinary functions, which look at nothing of their
    // table but pAppData, which is the same. It is never freed.
    unsafe {
        let mut vfs = *ordinary;
        vfs.pNext = std::ptr::null_mut();
        vfs.zName = c"shim".as_ptr();
        vfs.szOsFile += c_int::try_from(size_of::<Shim>()).expect("small");
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        let result = ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 1);
        assert_eq!(result, ffi::SQLITE_OK);
    }
}

/// # Safety
/// Called by SQLite.
unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: `file` has room for a Shim and for what the ordinary layer wants behind it; without functions SQLite does
    // not close it.
    unsafe {
        let shim = file.cast::<Shim>();
        (*shim).methods = std::ptr::null();
        (*shim).place = std::ptr::null_mut();
        let inner = shim.add(1).cast::<ffi::sqlite3_file>();
        let ordinary = ordinary();
        let result = (*ordinary).xOpen.expect("a function")(ordinary, name, inner, flags, out);
        if result != ffi::SQLITE_OK {
            return result;
        }
        if !name.is_null() {
            let path = PathBuf::from(CStr::from_ptr(name).to_str().expect("text"));
            if let Some(place) = place_of(&path) {
                with(&place.directory, |disk| {
                    disk.images.entry(place.name.clone()).or_default();
                });
                (*shim).place = Box::into_raw(Box::new(place));
            }
        }
        (*shim).methods = &raw const METHODS;
        ffi::SQLITE_OK
    }
}

/// # Safety
/// Called by SQLite.
unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: the name is a C string.
    let path = PathBuf::from(unsafe { CStr::from_ptr(name) }.to_str().expect("text"));
    if let Some(place) = place_of(&path)
        && let Err(code) = with(&place.directory, |disk| disk.delete(&place.name))
    {
        return code;
    }
    let ordinary = ordinary();
    // SAFETY: the ordinary layer and what SQLite gave.
    unsafe { (*ordinary).xDelete.expect("a function")(ordinary, name, sync) }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Without mapped files, whose writes nobody could see.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Functions that only pass on.
macro_rules! pass_on {
    ($($function:ident $method:ident ($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            /// # Safety
            /// Called by SQLite.
            unsafe extern "C" fn $function(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> $result {
                // SAFETY: the ordinary layer gets its own file and what SQLite gave.
                unsafe {
                    let (file, methods) = inner(file);
                    methods.$method.expect("a function")(file, $($argument),*)
                }
            }
        )*
    };
}

pass_on! {
    read xRead (buffer: *mut c_void, amount: c_int, offset: i64) -> c_int;
    file_size xFileSize (size: *mut i64) -> c_int;
    lock xLock (level: c_int) -> c_int;
    unlock xUnlock (level: c_int) -> c_int;
    check_reserved_lock xCheckReservedLock (result: *mut c_int) -> c_int;
    file_control xFileControl (operation: c_int, argument: *mut c_void) -> c_int;
    sector_size xSectorSize () -> c_int;
    shm_map xShmMap (page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock xShmLock (offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier xShmBarrier () -> ();
    shm_unmap xShmUnmap (delete: c_int) -> c_int;
}

/// No promises: the disk may tear pages, and writes may overtake each other.
///
/// # Safety
/// Called by SQLite.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    0
}

/// # Safety
/// Called by SQLite.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the place was boxed by `open`, and SQLite does not use the file any more.
    unsafe {
        let shim = file.cast::<Shim>();
        if !(*shim).place.is_null() {
            drop(Box::from_raw((*shim).place));
            (*shim).place = std::ptr::null_mut();
        }
        let (file, methods) = inner(file);
        methods.xClose.expect("a function")(file)
    }
}

/// # Safety
/// Called by SQLite.
unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: the buffer has as many bytes as SQLite says.
    unsafe {
        let length = usize::try_from(amount).expect("a length");
        let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), length);
        let at = usize::try_from(offset).expect("an offset");
        if let Err(code) = ask(file, |disk, name| disk.write(name, at, bytes)) {
            return code;
        }
        let (file, methods) = inner(file);
        methods.xWrite.expect("a function")(file, buffer, amount, offset)
    }
}

/// # Safety
/// Called by SQLite.
unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    unsafe {
        let length = usize::try_from(size).expect("a length");
        if let Err(code) = ask(file, |disk, name| disk.truncate(name, length)) {
            return code;
        }
        let (file, methods) = inner(file);
        methods.xTruncate.expect("a function")(file, size)
    }
}

/// Nothing is handed on for files that are watched: their durable form is the image, and the disk below is spared.
///
/// # Safety
/// Called by SQLite.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe {
        if !(*file.cast::<Shim>()).place.is_null() {
            return ask(file, |disk, name| disk.sync(name))
                .err()
                .unwrap_or(ffi::SQLITE_OK);
        }
        let (file, methods) = inner(file);
        methods.xSync.expect("a function")(file, flags)
    }
}
