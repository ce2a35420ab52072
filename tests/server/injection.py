"""What programs that look for SQL injection try, in our words: each in a form that would show if it were run as SQL."""

from __future__ import annotations

PAYLOADS = [
    # true whatever stands before
    "' OR '1'='1", "' OR 1=1 --", "' OR 1=1#", "') OR ('1'='1", "')) OR 1=1 --", "' OR 'x' LIKE '%", "1 OR 1=1", "1) OR (1=1",
    '" OR "1"="1', '" OR 1=1 --', "` OR 1=1 --", "` OR ``=`", "' OR NOT 0 --", "'||'1'='1'||'", "' OR 1 IN (1) --", "' IS NOT NULL --",
    # false, to be told from true
    "' AND '1'='2", "1 AND 1=2", "' AND 1=(SELECT 0) --",
    # other rows, other tables
    "' UNION SELECT * FROM runs --", "' UNION ALL SELECT NULL,NULL,NULL --", "1 UNION SELECT sql FROM sqlite_schema",
    "' UNION SELECT name FROM sqlite_master WHERE type='table' --", "'; SELECT value FROM params; --",
    "' AND (SELECT count(*) FROM runs) > 0 --", "(SELECT value FROM tags LIMIT 1)",
    # statements behind it
    "'; DROP TABLE runs; --", "'; DELETE FROM runs; --", "'; UPDATE runs SET name='owned'; --", "1; DROP TABLE params",
    "'; ATTACH DATABASE '/tmp/owned.db' AS o; --", "'; PRAGMA writable_schema=ON; --", "'; VACUUM INTO '/tmp/owned.db'; --",
    # time, errors, code
    "' AND 1=LIKE('ABCDEFG',UPPER(HEX(RANDOMBLOB(500000000)))) --", "' OR RANDOMBLOB(1000000000) --",
    "' AND 1=(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c) --",
    "' AND json_extract('x', '$') --", "' AND abs(-9223372036854775808) --", "' AND load_extension('/tmp/owned.so') --",
    "' AND writefile('/tmp/owned', 'x') --", "' AND readfile('/etc/passwd') --",
    # quoting, comments, white space, encodings
    "\\' OR 1=1 --", "\\", "'", "''", "'''", '"', "`", "``", "--", "/*", "*/", "'/**/OR/**/1=1/**/--", "'\tOR\t1=1\t--", "'\nOR\n1=1\n--",
    "%27%20OR%201=1", "0x27204f5220313d31", "char(39)", "\u2019 OR 1=1", "\uff07 OR 1=1", "'\x00 OR 1=1", "$.a", "$[0]", ":bound", "?1", "@x",
    # patterns
    "%", "_", "%%", "[a-z]*", "*", "a%b_c", "\\%",
]  # fmt: skip
