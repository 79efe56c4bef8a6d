//! The whole office as one immutable value, for the call path.

use crate::{Result, Store};
use directory::Directory;

impl Store {
    /// Everything configured, with trunk passwords in the clear.
    ///
    /// # Errors
    /// Besides the usual ones [`crate::Error::WrongKey`].
    pub async fn snapshot(&self) -> Result<Directory> {
        let extensions = self.every_extension().await?;
        let trunks = self.trunks_with_passwords().await?;
        Ok(Directory::new(extensions, trunks))
    }
}
