//! The one writer of output: into the caller's buffer, and never past it.

use std::fmt;

use super::{Error, What};

/// A caller's buffer that fills from the start.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut [u8],
    at: usize,
}

impl<'b> Writer<'b> {
    /// An empty packet in `buf`.
    pub fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, at: 0 }
    }

    /// How many bytes are written.
    pub const fn len(&self) -> usize {
        self.at
    }

    /// Is nothing written yet?
    pub const fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// `what`, noticed here.
    pub fn error(&self, what: What) -> Error {
        Error::new(what, self.at)
    }

    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let room = self.buf.get_mut(self.at..).and_then(|free| free.get_mut(..bytes.len()));
        room.ok_or(Error::new(What::NoRoom, self.at))?.copy_from_slice(bytes);
        self.at = self.at.saturating_add(bytes.len());
        Ok(())
    }

    /// Appends zeros until the packet is `length` bytes long.
    pub fn zeros_to(&mut self, length: usize) -> Result<(), Error> {
        if let Some(n) = length.checked_sub(self.at) {
            let room = self.buf.get_mut(self.at..).and_then(|free| free.get_mut(..n));
            room.ok_or(Error::new(What::NoRoom, self.at))?.fill(0);
            self.at = length;
        }
        Ok(())
    }

    /// Appends `text`, which must hold no NUL, and the NUL that ends it.
    pub fn text(&mut self, text: &[u8]) -> Result<(), Error> {
        if text.contains(&0) {
            return Err(self.error(What::Unexpected));
        }
        self.put(text)?;
        self.put(&[0])
    }

    /// Appends `number` as decimal text and the NUL that ends it.
    pub fn decimal(&mut self, number: u64) -> Result<(), Error> {
        use fmt::Write as _;
        write!(self, "{number}\0").map_err(|fmt::Error| self.error(What::NoRoom))
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_buffer_and_stops_at_its_end() {
        let mut buf = [9; 8];
        let mut writer = Writer::new(&mut buf);
        assert!(writer.is_empty());
        writer.decimal(160).unwrap();
        writer.zeros_to(6).unwrap();
        assert_eq!(writer.text(b"ab"), Err(Error::new(What::NoRoom, 8)));
        assert_eq!(writer.len(), 8);
        assert_eq!(writer.put(b"c"), Err(Error::new(What::NoRoom, 8)));
        assert_eq!(writer.zeros_to(9), Err(Error::new(What::NoRoom, 8)));
        assert_eq!(&buf, b"160\0\0\0ab");
    }

    #[test]
    fn a_nul_inside_a_text_is_refused() {
        assert_eq!(Writer::new(&mut [0; 8]).text(b"a\0b"), Err(Error::new(What::Unexpected, 0)));
    }
}
