//! Real incidents at sea as reports: the South-East Asian rows of the data set, or invented ones of the same shape.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::data_file;

/// Within the shared data.
const FILE: &str = "incidents/imb_pirate_attacks_1993_2020.csv";
/// Named wherever a row is shown, as its licence asks.
const SOURCE: &str = "International Maritime Bureau, by Maritime-Pirate-Attacks (newzealandpaul), CC BY 4.0";
/// The ten members of ASEAN as the data set begins and ends, and Timor-Leste (ISO 3166-1).
const SOUTH_EAST_ASIA: [&str; 11] = ["BRN", "IDN", "KHM", "LAO", "MMR", "MYS", "PHL", "SGP", "THA", "TLS", "VNM"];
/// How the columns are called. Those of the nearest shore are not taken over.
const COLUMNS: usize = 16;
/// How many rows are invented when there is no data set.
const INVENTED: usize = 3_000;
/// What the data set writes where it knows nothing.
const UNKNOWN: &str = "NA";

/// Reports, ready to be shared.
pub(crate) struct Incidents {
    /// One report on each line.
    pub(crate) ndjson: String,
    /// How many.
    pub(crate) count: usize,
    /// Where they come from, for people.
    pub(crate) told: String,
}

#[derive(Deserialize)]
struct Row {
    date: String,
    time: String,
    longitude: f64,
    latitude: f64,
    attack_type: String,
    location_description: String,
    nearest_country: String,
    eez_country: String,
    attack_description: String,
    vessel_name: String,
    vessel_type: String,
    vessel_status: String,
}

/// The incidents that happened in South-East Asia: those whose nearest country is there, or in whose zone they happened.
pub(crate) fn load() -> Result<Incidents> {
    let file = data_file(FILE);
    if file.is_file() {
        let csv = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = Path::new(FILE).file_name().unwrap_or_default().display().to_string();
        return from_csv(&csv, SOURCE, format!("the South-East Asian rows of {name} ({SOURCE})"));
    }
    let told = format!("INVENTED rows, because {} is missing", file.display());
    from_csv(invented().as_bytes(), "EXERCISE invented", told)
}

fn from_csv(csv: &[u8], source: &str, told: String) -> Result<Incidents> {
    let mut reader = csv::Reader::from_reader(csv);
    ensure!(reader.headers()?.len() == COLUMNS, "the data set has not {COLUMNS} columns");
    let (mut ndjson, mut count) = (String::new(), 0);
    for (number, row) in (1..).zip(reader.deserialize()) {
        let row: Row = row.with_context(|| format!("row {number}"))?;
        let place = [row.nearest_country.as_str(), row.eez_country.as_str()];
        if !place.iter().any(|country| SOUTH_EAST_ASIA.contains(country)) {
            continue;
        }
        let report = report(number, &row, source).with_context(|| format!("row {number}"))?;
        ndjson.push_str(&report.to_string());
        ndjson.push('\n');
        count += 1;
    }
    ensure!(count > 0, "no row of the data set is of South-East Asia");
    Ok(Incidents { ndjson, count, told })
}

fn report(number: usize, row: &Row, source: &str) -> Result<Value> {
    let known = |text: &str| Some(text.trim()).filter(|text| !text.is_empty() && *text != UNKNOWN).map(str::to_owned);
    let attack = known(&row.attack_type).unwrap_or_else(|| "Attack".to_owned());
    let name = known(&row.location_description);
    let at = name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
    let mut text = vec![format!("EXERCISE: shared as part of a demonstration. Row {number} of the source.")];
    text.extend(known(&row.attack_description));
    text.extend(known(&row.vessel_status).map(|status| format!("Vessel: {status}.")));
    let e7 = |degrees: f64| (degrees * 1e7).round() as i64;
    let mut report = json!({
        "report_type": "incident",
        "title": format!("EXERCISE {attack}{at}, {} (row {number})", row.date),
        "text": text.join("\n"),
        "place": { "latitude_e7": e7(row.latitude), "longitude_e7": e7(row.longitude) },
        "time": period(&row.date, &row.time)?,
        "language": "en",
        "source": source,
    });
    if let Some(name) = name {
        report["place"]["name"] = name.into();
    }
    if let Some(vessel) = known(&row.vessel_name).or_else(|| known(&row.vessel_type)) {
        report["entities"] = json!([{ "class": "vessel", "name": vessel, "role": "attacked vessel" }]);
    }
    Ok(report)
}

/// The minute if it is given in UTC; otherwise the whole day, because nobody says in which zone a local time is.
fn period(date: &str, time: &str) -> Result<Value> {
    let day = day_of(date).with_context(|| format!("{date} is no date"))? * 86_400;
    let minute = time.strip_suffix(" UTC").and_then(|time| {
        let (hour, minute) = time.split_once(':')?;
        Some(hour.parse::<i64>().ok()? * 3600 + minute.parse::<i64>().ok()? * 60)
    });
    Ok(match minute.filter(|second| (0..86_400).contains(second)) {
        Some(second) => json!({ "from": day + second }),
        None => json!({ "from": day, "until": day + 86_399 }),
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn day_of(date: &str) -> Option<i64> {
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Counted from the first of March, so that the day of a leap year comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// Rows of the data set's shape in which everything is invented.
fn invented() -> String {
    let mut csv = String::from(
        "date,time,longitude,latitude,attack_type,location_description,nearest_country,eez_country,shore_distance,\
         shore_longitude,shore_latitude,attack_description,vessel_name,vessel_type,vessel_status,data_source\n",
    );
    for number in 0..INVENTED {
        let (day, month, hour) = (1 + number % 28, 1 + number % 12, number % 24);
        let country = SOUTH_EAST_ASIA[number % SOUTH_EAST_ASIA.len()];
        let (east, north) = (95.0 + (number % 300) as f64 / 10.0, (number % 200) as f64 / 10.0 - 8.0);
        csv.push_str(&format!(
            "2020-{month:02}-{day:02},{hour:02}:00 UTC,{east},{north},EXERCISE boarding,EXERCISE strait {},{country},\
             {country},1.5,{east},{north},EXERCISE description {number},EXERCISE vessel {},NA,EXERCISE status,invented\n",
            number % 50,
            number % 700,
        ));
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_days() {
        for (date, day) in [("1970-01-01", 0), ("1993-01-02", 8402), ("2000-02-29", 11016), ("2020-12-31", 18627)] {
            assert_eq!(day_of(date), Some(day), "{date}");
        }
        for bad in ["", "2020", "2020-13-01", "2020-01-40", "NA"] {
            assert_eq!(day_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_a_day() {
        assert_eq!(period("1970-01-02", "01:30 UTC").unwrap(), json!({"from": 91_800}));
        for unknown in ["NA", "01:30", "31:00 UTC"] {
            assert_eq!(period("1970-01-01", unknown).unwrap(), json!({"from": 0, "until": 86_399}), "{unknown}");
        }
    }

    #[test]
    fn invented_rows_have_the_shape_of_the_real_ones() {
        let incidents = from_csv(invented().as_bytes(), "EXERCISE", String::new()).unwrap();
        assert_eq!(incidents.count, INVENTED);
        let titles: std::collections::BTreeSet<String> = incidents
            .ndjson
            .lines()
            .map(|line| {
                let report: mufakat_record::kinds::report::Report = serde_json::from_str(line).unwrap();
                report.title
            })
            .collect();
        assert_eq!(titles.len(), INVENTED);
        assert!(titles.iter().all(|title| title.starts_with("EXERCISE")));
    }

    #[test]
    fn rows_of_elsewhere_are_left_out() {
        let csv = invented().replace("IDN", "NGA");
        let fewer = from_csv(csv.as_bytes(), "EXERCISE", String::new()).unwrap();
        assert!(fewer.count < INVENTED && fewer.count > 0);
        assert!(from_csv(b"date\n2020-01-01\n", "EXERCISE", String::new()).is_err());
    }
}
