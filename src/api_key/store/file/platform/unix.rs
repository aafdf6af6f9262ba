//! Unix: files have owners, numbers, and folders that can be written to the disk.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Lets nobody but the owner read a file that is new.
pub(in super::super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Gives a file the owner and group of another one.
pub(in super::super) fn give_to_owner_of(file: &File, other: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    let differs = |ours: u32, theirs: u32| (ours != theirs).then_some(theirs);
    match (differs(own.uid(), other.uid()), differs(own.gid(), other.gid())) {
        (None, None) => Ok(()),
        (uid, gid) => fchown(file, uid, gid),
    }
}

/// Tells a file from another one that has taken its place, and from what it was before.
pub(in super::super) fn identity(file: &Metadata) -> [i64; 4] {
    [file.dev() as i64, file.ino() as i64, file.ctime(), file.ctime_nsec()]
}

/// Makes sure that a name stays that was just given.
pub(in super::super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
