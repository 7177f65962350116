//! The files that pages load: built in, so that nothing is fetched from anywhere.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::answer;

/// Name, type and content.
const FILES: &[(&str, &str, &str)] = &[
    ("console.css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
    ("htmx.min.js", "text/javascript; charset=utf-8", include_str!("../assets/htmx.min.js")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(file, _, _)| *file == name) {
        Some((_, kind, content)) => ([(header::CONTENT_TYPE, *kind)], *content).into_response(),
        None => answer::plain(StatusCode::NOT_FOUND, "there is no such file\n"),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    /// What is served is what assets/VENDORED.md says it is.
    #[test]
    fn vendored_scripts_are_the_recorded_ones() {
        let listed = include_str!("../assets/VENDORED.md");
        let hash: String = digest(&SHA256, include_bytes!("../assets/htmx.min.js"))
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let row = listed.lines().find(|line| line.contains("htmx.min.js")).unwrap();
        assert!(row.contains(&hash), "{hash}");
        assert!(row.contains("4.0.1") && row.contains("0BSD"), "{row}");
    }
}
