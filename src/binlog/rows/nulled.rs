//! A row image with some of its values taken out: these columns are NULL. For rows that are too large for where they go.

use super::{RowImage, bit};
use crate::binlog::error::DecodeError;

/// Buffers for one image without some of its values.
#[derive(Debug, Default)]
pub struct Nulled {
    nulls: Vec<u8>,
    values: Vec<u8>,
}

impl Nulled {
    /// The image, with NULL in each of its columns that `is_nulled` names; columns that it lacks stay away.
    ///
    /// # Errors
    /// An image whose values are cut, which none from [`Rows`](super::Rows) is.
    pub fn image<'a>(
        &'a mut self,
        image: RowImage<'a>,
        is_nulled: impl Fn(usize) -> bool,
    ) -> Result<RowImage<'a>, DecodeError> {
        self.nulls.clear();
        self.nulls.extend_from_slice(image.nulls);
        self.values.clear();
        let mut cells = image.cells();
        let (mut held, mut from) = (0, cells.rest.len());
        let start = from;
        for index in 0..image.columns.len() {
            if !image.present.contains(index) {
                continue;
            }
            let null = bit(image.nulls, held);
            let Some(cell) = cells.next() else { break };
            cell?;
            let to = cells.rest.len();
            if is_nulled(index) {
                self.nulls[held >> 3] |= 1 << (held & 7);
            } else if !null {
                // With its length in front, as it lies there.
                self.values.extend_from_slice(&image.values[start - from..start - to]);
            }
            (held, from) = (held + 1, to);
        }
        Ok(RowImage { nulls: &self.nulls, values: &self.values, ..image })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::column::{ColumnDef, WireType};
    use crate::binlog::{RowWriter, Value};

    #[test]
    fn nulled_columns_are_null_and_the_others_as_they_were() {
        let columns: Vec<ColumnDef> = [
            (WireType::LONG, 0),
            (WireType::VARCHAR, 300),
            (WireType::BLOB, 2),
            (WireType::LONG, 0),
            (WireType::BLOB, 4),
        ]
        .map(|(wire, meta)| ColumnDef::new(wire, meta).expect("a type"))
        .to_vec();
        let mut row = RowWriter::new();
        row.begin();
        row.raw(&columns[0], &[7, 0, 0, 0]).expect("fits");
        row.raw(&columns[1], b"kept").expect("fits");
        row.null();
        row.absent();
        row.raw(&columns[4], &[b'x'; 5000]).expect("fits");
        let image = row.image(&columns).expect("an image");
        let mut nulled = Nulled::default();
        let small = nulled.image(image, |index| index >= 2).expect("whole");
        assert_eq!(small.size(), image.size() - 5004);
        let cells: Vec<_> =
            small.cells().map(|cell| cell.expect("whole")).map(|cell| (cell.index, cell.bytes)).collect();
        assert_eq!(cells, [(0, Some(&[7u8, 0, 0, 0][..])), (1, Some(&b"kept"[..])), (2, None), (4, None)]);
        assert!(matches!(small.get(4), Ok(Some(Value::Null))) && small.get(3) == Ok(None));
        let same = nulled.image(image, |_| false).expect("whole");
        assert_eq!(same.values, image.values);
    }
}
