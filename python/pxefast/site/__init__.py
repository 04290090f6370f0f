"""The site: its database, the snapshot decisions are made from, and the ledger of what was handed out."""
