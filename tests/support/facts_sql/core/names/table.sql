-- sources: none
CREATE TABLE IF NOT EXISTS core.names (code text, name text);
