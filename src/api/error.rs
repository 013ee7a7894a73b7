//! What the API answers when it cannot do what was asked.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use relay_store::CursorError;
use serde_json::json;

use crate::run::{ActionError, ReloadError};

/// A refusal: a status code and one sentence.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: StatusCode,
    error: String,
}

impl ApiError {
    pub(crate) fn new(code: StatusCode, error: impl Into<String>) -> Self {
        Self { code, error: error.into() }
    }

    pub(crate) fn unknown_cursor(name: &str) -> Self {
        CursorError::Unknown { name: name.to_owned() }.into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.code, Json(json!({ "error": self.error }))).into_response()
    }
}

impl From<CursorError> for ApiError {
    fn from(e: CursorError) -> Self {
        let code = match &e {
            CursorError::Unknown { .. } => StatusCode::NOT_FOUND,
            CursorError::Exists { .. } | CursorError::StaleEpoch { .. } => StatusCode::CONFLICT,
            CursorError::Name { .. } | CursorError::OutOfRange { .. } | CursorError::TooLarge { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            CursorError::Poisoned(_) | CursorError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            CursorError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(code, e.to_string())
    }
}

impl From<ActionError> for ApiError {
    fn from(e: ActionError) -> Self {
        let code = match e {
            ActionError::Cursor(e) => return e.into(),
            ActionError::Name(_) | ActionError::Address(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ActionError::NotParked { .. } => StatusCode::NOT_FOUND,
            ActionError::Configured { .. } | ActionError::Moved { .. } => StatusCode::CONFLICT,
            ActionError::Tally(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(code, e.to_string())
    }
}

impl From<ReloadError> for ApiError {
    fn from(e: ReloadError) -> Self {
        let code = match e {
            ReloadError::Config(_) | ReloadError::Precheck(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::Restart(_) => StatusCode::CONFLICT,
        };
        Self::new(code, e.to_string())
    }
}
