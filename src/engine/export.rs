//! export: all files of a container as one archive.

use crate::engine::Engine;
use crate::engine::container::Container;
use crate::engine::view::Purpose;
use crate::error::{Error, Result};
use crate::image::pack::{Form, Packer};
use crate::image::view::View;
use std::io::{self, Read};
use std::sync::Arc;

/// An archive, and the files that it is being made of.
pub struct Archive {
    packer: Packer<'static>,
    _view: Arc<View>,
}

impl Archive {
    pub fn new(packer: Packer<'static>, view: Arc<View>) -> Archive {
        Archive {
            packer,
            _view: view,
        }
    }
}

impl Read for Archive {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.packer.read(into)
    }
}

impl Engine {
    pub fn export(&self, container: &Container) -> Result<Archive> {
        let view = self.view(container, Purpose::Layers)?;
        let root = view.root.try_clone().map_err(|e| Error::io("export", &e))?;
        let packer = Packer::new(root, b"", Form::Tree)?;
        self.tell(container, "export", &[]);
        Ok(Archive::new(packer, view))
    }
}
