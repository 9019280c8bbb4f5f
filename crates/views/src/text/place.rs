//! Places: points, and areas that a search can ask for. The globe is cut into quarters, again and again; a point is found by the
//! cells that it lies in, one for each of a few levels, and an area by the few cells of one level that cover it. Cells cover
//! more than the area, so each point is looked at in the end.

use mufakat_record::kinds::report::Place;

/// Units of a degree.
const E7: f64 = 1e7;
/// The mean radius of the earth in metres (IUGG).
const EARTH_M: f64 = 6_371_008.8;
/// The levels whose cells a point is listed by: at each the globe is cut into 2^level strips both ways. The cells of the last
/// are 2.4 km wide at the equator.
const LEVELS: [u32; 7] = [2, 4, 6, 8, 10, 12, 14];
/// By how many cells an area is covered at most, for each side of the antimeridian.
const COVER_MAX: u64 = 48;
/// The largest radius, in metres; it goes round the globe.
pub const RADIUS_M_MAX: f64 = 20_015_000.0;

/// A point on WGS 84, in units of 10⁻⁷ degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Latitude, north positive.
    pub latitude_e7: i32,
    /// Longitude, east positive.
    pub longitude_e7: i32,
}

/// An area to search in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Area {
    /// Between two parallels and two meridians, in degrees. A box whose west is east of its east goes over the antimeridian.
    Box {
        /// The southern edge.
        south: f64,
        /// The western edge.
        west: f64,
        /// The northern edge.
        north: f64,
        /// The eastern edge.
        east: f64,
    },
    /// Around a point.
    Circle {
        /// The centre's latitude, in degrees.
        latitude: f64,
        /// The centre's longitude, in degrees.
        longitude: f64,
        /// The radius in metres.
        metres: f64,
    },
}

impl Point {
    /// The point of a place, if it has one.
    pub fn of(place: &Place) -> Option<Self> {
        Some(Self { latitude_e7: place.latitude_e7?, longitude_e7: place.longitude_e7? })
    }

    /// The point in 8 bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.latitude_e7.cast_unsigned()) << 32 | u64::from(self.longitude_e7.cast_unsigned())).to_be_bytes()
    }

    /// Takes 8 bytes apart.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { latitude_e7: i32::from_be_bytes([a, b, c, d]), longitude_e7: i32::from_be_bytes([e, f, g, h]) }
    }

    fn latitude(self) -> f64 {
        f64::from(self.latitude_e7) / E7
    }

    fn longitude(self) -> f64 {
        f64::from(self.longitude_e7) / E7
    }

    /// The tokens of the cells that it lies in.
    pub(super) fn cells(self) -> impl Iterator<Item = String> {
        LEVELS.into_iter().map(move |level| {
            let (row, column) = (strip(self.latitude(), 90.0, level), strip(self.longitude(), 180.0, level));
            cell(level, row, column)
        })
    }
}

/// The strip of a level in which a latitude (`half` 90) or longitude (`half` 180) lies.
fn strip(degrees: f64, half: f64, level: u32) -> u64 {
    let strips = (1_u64 << level) as f64;
    ((degrees + half) / (2.0 * half) * strips).floor().clamp(0.0, strips - 1.0) as u64
}

fn cell(level: u32, row: u64, column: u64) -> String {
    format!("=q{level}.{row:x}.{column:x}")
}

impl Area {
    /// Whether its numbers are those of an area on the globe.
    pub fn is_sound(&self) -> bool {
        let latitude = |degrees: f64| (-90.0..=90.0).contains(&degrees);
        let longitude = |degrees: f64| (-180.0..=180.0).contains(&degrees);
        match *self {
            Area::Box { south, west, north, east } => {
                latitude(south) && latitude(north) && south <= north && longitude(west) && longitude(east)
            }
            Area::Circle { latitude: lat, longitude: lon, metres } => {
                latitude(lat) && longitude(lon) && (0.0..=RADIUS_M_MAX).contains(&metres)
            }
        }
    }

    /// Whether a point lies in it.
    pub fn holds(&self, point: Point) -> bool {
        match *self {
            Area::Box { south, west, north, east } => {
                let longitude = point.longitude();
                let between = if west <= east {
                    (west..=east).contains(&longitude)
                } else {
                    longitude >= west || longitude <= east
                };
                between && (south..=north).contains(&point.latitude())
            }
            Area::Circle { latitude, longitude, metres } => {
                distance_m(latitude, longitude, point.latitude(), point.longitude()) <= metres
            }
        }
    }

    /// The tokens of cells, one of which each point of the area lies in.
    pub fn cells(&self) -> Vec<String> {
        let mut cells = Vec::new();
        for (south, west, north, east) in self.boxes() {
            let span = |level: u32| {
                let rows = strip(south, 90.0, level)..=strip(north, 90.0, level);
                let columns = strip(west, 180.0, level)..=strip(east, 180.0, level);
                (rows, columns)
            };
            let few = |level: &u32| {
                let (rows, columns) = span(*level);
                (rows.end() - rows.start() + 1) * (columns.end() - columns.start() + 1) <= COVER_MAX
            };
            // The first level cuts the globe into 16.
            let level = LEVELS.into_iter().rev().find(few).unwrap_or(LEVELS[0]);
            let (rows, columns) = span(level);
            cells.extend(rows.flat_map(|row| columns.clone().map(move |column| cell(level, row, column))));
        }
        cells
    }

    /// Boxes that do not cross the antimeridian and hold the area together.
    fn boxes(&self) -> Vec<(f64, f64, f64, f64)> {
        match *self {
            Area::Box { south, west, north, east } if west <= east => vec![(south, west, north, east)],
            Area::Box { south, west, north, east } => vec![(south, west, north, 180.0), (south, -180.0, north, east)],
            Area::Circle { latitude, longitude, metres } => {
                // A little more than the radius, so that rounding leaves nothing out.
                let high = (metres / EARTH_M).to_degrees() * 1.000_001 + 1e-6;
                let (south, north) = (latitude - high, latitude + high);
                let (low, top) = (south.max(-90.0), north.min(90.0));
                // The meridians between which a circle lies (Chamberlain and Duquette, "Some Algorithms for Polygons on a
                // Sphere", 2007); a circle around a pole meets all of them.
                let ratio = high.to_radians().sin() / latitude.to_radians().cos();
                if south <= -90.0 || north >= 90.0 || ratio >= 1.0 {
                    return vec![(low, -180.0, top, 180.0)];
                }
                let wide = ratio.asin().to_degrees() * 1.000_001 + 1e-6;
                let (west, east) = (longitude - wide, longitude + wide);
                if west < -180.0 {
                    vec![(low, west + 360.0, top, 180.0), (low, -180.0, top, east)]
                } else if east > 180.0 {
                    vec![(low, west, top, 180.0), (low, -180.0, top, east - 360.0)]
                } else {
                    vec![(low, west, top, east)]
                }
            }
        }
    }
}

/// The distance of two points on a sphere (haversine formula), in metres. Against the ellipsoid it is off by half a hundredth.
fn distance_m(latitude: f64, longitude: f64, other_latitude: f64, other_longitude: f64) -> f64 {
    let (a, b) = (latitude.to_radians(), other_latitude.to_radians());
    let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
    let h = half(a, b) + a.cos() * b.cos() * half(longitude.to_radians(), other_longitude.to_radians());
    2.0 * EARTH_M * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(latitude: f64, longitude: f64) -> Point {
        Point { latitude_e7: (latitude * E7) as i32, longitude_e7: (longitude * E7) as i32 }
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        // Singapore to Jakarta, and a degree of the equator.
        let far = distance_m(1.2903, 103.852, -6.2088, 106.8456);
        assert!((890_000.0..=900_000.0).contains(&far), "{far}");
        assert!((distance_m(0.0, 179.5, 0.0, -179.5) - 111_195.0).abs() < 10.0);
    }

    #[test]
    fn areas_hold_what_is_in_them() {
        let strait = Area::Box { south: 1.0, west: 103.0, north: 2.0, east: 105.0 };
        assert!(
            strait.holds(point(1.5, 104.0)) && !strait.holds(point(1.5, 105.5)) && !strait.holds(point(2.5, 104.0))
        );
        let date_line = Area::Box { south: -10.0, west: 170.0, north: 10.0, east: -170.0 };
        assert!(date_line.holds(point(0.0, 175.0)) && date_line.holds(point(0.0, -175.0)));
        assert!(!date_line.holds(point(0.0, 0.0)));
        for bad in [
            Area::Box { south: 2.0, west: 1.0, north: 1.0, east: 2.0 },
            Area::Box { south: f64::NAN, west: 1.0, north: 1.0, east: 2.0 },
            Area::Box { south: 0.0, west: -181.0, north: 1.0, east: 2.0 },
            Area::Circle { latitude: 91.0, longitude: 0.0, metres: 1.0 },
            Area::Circle { latitude: 0.0, longitude: 0.0, metres: -1.0 },
            Area::Circle { latitude: 0.0, longitude: 0.0, metres: f64::INFINITY },
        ] {
            assert!(!bad.is_sound(), "{bad:?}");
        }
        assert!(strait.is_sound() && date_line.is_sound());
    }

    #[test]
    fn points_come_back() {
        for point in [point(-90.0, -180.0), point(90.0, 180.0), point(1.25, -0.000_000_1)] {
            assert_eq!(Point::from_bytes(point.to_bytes()), point);
        }
    }

    fn areas() -> impl Strategy<Value = Area> {
        let (latitude, longitude) = (|| -90.0..=90.0_f64, || -180.0..=180.0_f64);
        prop_oneof![
            (latitude(), longitude(), latitude(), longitude()).prop_map(|(a, west, b, east)| Area::Box {
                south: a.min(b),
                north: a.max(b),
                west,
                east
            }),
            (latitude(), longitude(), 0.0..7.4_f64).prop_map(|(latitude, longitude, power)| Area::Circle {
                latitude,
                longitude,
                metres: 10_f64.powf(power).min(RADIUS_M_MAX)
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn whatever_lies_in_an_area_lies_in_its_cells(area in areas(), near in any::<bool>(), at in (-1.0..1.0_f64, -1.0..1.0_f64)) {
            // Points near the centre of a circle, or anywhere.
            let (latitude, longitude) = match area {
                Area::Circle { latitude, longitude, metres } if near => {
                    let reach = metres / 111_195.0;
                    ((latitude + at.0 * reach).clamp(-90.0, 90.0), (longitude + at.1 * reach + 540.0).rem_euclid(360.0) - 180.0)
                }
                _ => (at.0 * 90.0, at.1 * 180.0),
            };
            let point = point(latitude, longitude);
            let (cells, cover): (Vec<_>, _) = (point.cells().collect(), area.cells());
            prop_assert!(cover.len() as u64 <= 2 * COVER_MAX);
            if area.holds(point) {
                prop_assert!(cover.iter().any(|cell| cells.contains(cell)), "{area:?} {point:?}");
            }
        }
    }
}
