//! Numbers as templates write them.

use crate::Id;

/// Ids of a list such as `0,100`; what is no number is left out.
pub fn id_list(text: &str) -> impl Iterator<Item = Id> {
    text.split(',').filter_map(|part| part.trim().parse().ok())
}

/// A decimal number as hundredths, rounded; 0 when it is none.
#[must_use]
pub fn hundredths(text: &str) -> i64 {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map_or(0, |number| {
            let scaled = (number * 100.0).round();
            if scaled.abs() < 9.0e15 { scaled as i64 } else { 0 }
        })
}
