//! The tools: notes, each caller's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::{schemars, tool, tool_router};
use serde::Deserialize;
use tower_keep::{Principal, ScopeCatalogue};

#[derive(Clone)]
pub(crate) struct Notes {
    by_subject: Arc<Mutex<HashMap<String, Vec<String>>>>,
    catalogue: ScopeCatalogue,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Note {
    /// What to write down.
    text: String,
}

impl Notes {
    pub(crate) fn new(catalogue: ScopeCatalogue) -> Self {
        Self { by_subject: Arc::default(), catalogue }
    }

    fn of<T>(&self, who: &Principal, look: impl FnOnce(&mut Vec<String>) -> T) -> T {
        let mut notes = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        look(notes.entry(who.subject().to_owned()).or_default())
    }
}

// A session is no credential: each request has its own principal, and the layer has verified its token.
#[tool_router(server_handler)]
impl Notes {
    #[tool(description = "Lists the notes of the caller")]
    fn list_notes(&self, Extension(head): Extension<Parts>) -> Result<String, String> {
        let who = Principal::of(&head.extensions).map_err(|refused| refused.cause().text())?;
        Ok(self.of(who, |notes| notes.join(", ")))
    }

    #[tool(description = "Adds a note")]
    fn add_note(
        &self,
        Parameters(note): Parameters<Note>,
        Extension(head): Extension<Parts>,
    ) -> Result<String, String> {
        let who = Principal::of(&head.extensions).map_err(|refused| refused.cause().text())?;
        if !self.catalogue.grants(who.scopes(), "notes:write") {
            return Err("notes:write is needed".to_owned());
        }
        self.of(who, |notes| notes.push(note.text));
        Ok(format!("noted for {}", who.subject()))
    }
}
