//! Geometries: well-known binary to well-known text, laid out as the JTS library does: `POINT (1 2)`.

use std::io::Write as _;

/// Deepest nesting of collections that is followed; servers refuse documents of geometry far below it.
const DEPTH_MAX: usize = 64;

/// Appends the text of a geometry. None, and `out` in the middle of it, when the bytes are none.
pub(super) fn write(wkb: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader { bytes: wkb, big_endian: false };
    geometry(&mut reader, 0, out)?;
    reader.bytes.is_empty().then_some(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn ordinate(&mut self) -> Option<f64> {
        let bytes = self.take()?;
        let number = if self.big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) };
        number.is_finite().then_some(number)
    }

    /// Byte order and type, which each geometry begins with.
    fn head(&mut self) -> Option<u32> {
        self.big_endian = match self.take()? {
            [0] => true,
            [1] => false,
            _ => return None,
        };
        self.number()
    }
}

fn geometry(reader: &mut Reader<'_>, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let kind = reader.head()?;
    let name = match kind {
        1 => "POINT",
        2 => "LINESTRING",
        3 => "POLYGON",
        4 => "MULTIPOINT",
        5 => "MULTILINESTRING",
        6 => "MULTIPOLYGON",
        7 => "GEOMETRYCOLLECTION",
        _ => return None,
    };
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    if kind == 7 { list(reader, out, |reader, out| geometry(reader, depth + 1, out)) } else { body(kind, reader, out) }
}

/// What follows the name of a geometry that is no collection.
fn body(kind: u32, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        1 => {
            out.push(b'(');
            point(reader, out)?;
            out.push(b')');
            Some(())
        }
        2 => list(reader, out, point),
        3 => list(reader, out, |reader, out| list(reader, out, point)),
        // Each part is a geometry with a head of its own.
        _ => list(reader, out, |reader, out| {
            let part = reader.head()?;
            if part != kind - 3 {
                return None;
            }
            body(part, reader, out)
        }),
    }
}

fn point(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
    let (x, y) = (reader.ordinate()?, reader.ordinate()?);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{x} {y}");
    Some(())
}

fn list(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Reader<'_>, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let count = reader.number()?;
    if count == 0 {
        out.extend_from_slice(b"EMPTY");
        return Some(());
    }
    for place in 0..count {
        out.extend_from_slice(if place == 0 { b"(" } else { b", " });
        item(reader, out)?;
    }
    out.push(b')');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn le(kind: u32, rest: &[&[u8]]) -> Vec<u8> {
        [&[1][..], &kind.to_le_bytes(), &rest.concat()].concat()
    }

    fn points(points: &[[f64; 2]]) -> Vec<u8> {
        points.iter().flatten().flat_map(|ordinate| ordinate.to_le_bytes()).collect()
    }

    fn counted(count: u32, rest: &[&[u8]]) -> Vec<u8> {
        [&count.to_le_bytes()[..], &rest.concat()].concat()
    }

    fn text(wkb: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        write(wkb, &mut out).map(|()| String::from_utf8(out).expect("text"))
    }

    #[test]
    fn every_geometry_has_its_text() {
        let point = le(1, &[&points(&[[1.0, -2.5]])]);
        let line = le(2, &[&counted(2, &[&points(&[[0.0, 0.0], [1e20, 1.0]])])]);
        let ring = counted(4, &[&points(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])]);
        let polygon = le(3, &[&counted(2, &[&ring, &ring])]);
        let shape = "((0 0, 1 0, 1 1, 0 0), (0 0, 1 0, 1 1, 0 0))";
        for (wkb, expected) in [
            (point.clone(), "POINT (1 -2.5)".to_owned()),
            (line.clone(), "LINESTRING (0 0, 100000000000000000000 1)".to_owned()),
            (polygon.clone(), format!("POLYGON {shape}")),
            (le(4, &[&counted(2, &[&point, &point])]), "MULTIPOINT ((1 -2.5), (1 -2.5))".to_owned()),
            (le(5, &[&counted(1, &[&line])]), "MULTILINESTRING ((0 0, 100000000000000000000 1))".to_owned()),
            (le(6, &[&counted(2, &[&polygon, &polygon])]), format!("MULTIPOLYGON ({shape}, {shape})")),
            (le(7, &[&counted(0, &[])]), "GEOMETRYCOLLECTION EMPTY".to_owned()),
            (
                le(7, &[&counted(2, &[&point, &le(7, &[&counted(1, &[&line])])])]),
                "GEOMETRYCOLLECTION (POINT (1 -2.5), GEOMETRYCOLLECTION (LINESTRING (0 0, 100000000000000000000 1)))"
                    .to_owned(),
            ),
        ] {
            assert_eq!(text(&wkb), Some(expected));
            for cut in 0..wkb.len() {
                assert_eq!(text(&wkb[..cut]), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn big_endian_is_read_too() {
        let wkb = [&[0, 0, 0, 0, 1][..], &3f64.to_be_bytes(), &4f64.to_be_bytes()].concat();
        assert_eq!(text(&wkb), Some("POINT (3 4)".to_owned()));
    }

    #[test]
    fn hostile_bytes_are_refused() {
        assert_eq!(text(&le(2, &[&u32::MAX.to_le_bytes()])), None, "a count without points");
        assert_eq!(text(&le(9, &[])), None, "an unknown kind");
        assert_eq!(text(&le(1, &[&points(&[[f64::NAN, 0.0]])])), None, "no number");
        assert_eq!(text(&le(4, &[&counted(1, &[&le(2, &[&counted(0, &[])])])])), None, "a line among points");
        let mut deep = le(1, &[&points(&[[0.0, 0.0]])]);
        for _ in 0..DEPTH_MAX + 2 {
            deep = le(7, &[&counted(1, &[&deep])]);
        }
        assert_eq!(text(&deep), None, "nested too deeply");
    }
}
