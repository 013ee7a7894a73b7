"""The columns that the golden tables have, and the values that go into them.

A column is (name, declaration, kind, values). The kind says which expression makes the server print the value and how
the test reads it; values are SQL literals, and a row takes the i-th of each column, going round.
"""


def quoted(*values):
    return ["'%s'" % v for v in values]


INTEGERS = [
    ("i8", "TINYINT", "int", ["-128", "127", "0", "-1"]),
    ("u8", "TINYINT UNSIGNED", "uint", ["0", "255", "128", "127"]),
    ("i16", "SMALLINT", "int", ["-32768", "32767", "0", "-1"]),
    ("u16", "SMALLINT UNSIGNED", "uint", ["0", "65535", "32768"]),
    ("i24", "MEDIUMINT", "int", ["-8388608", "8388607", "0", "-1", "-32768"]),
    ("u24", "MEDIUMINT UNSIGNED", "uint", ["0", "16777215", "8388608"]),
    ("i32", "INT", "int", ["-2147483648", "2147483647", "0", "-1"]),
    ("u32", "INT UNSIGNED", "uint", ["0", "4294967295", "2147483648"]),
    ("i64", "BIGINT", "int", ["-9223372036854775808", "9223372036854775807", "0", "-1"]),
    ("u64", "BIGINT UNSIGNED", "uint", ["0", "18446744073709551615", "9223372036854775808"]),
    ("zerofill", "INT(10) UNSIGNED ZEROFILL", "uint", ["0", "42", "4294967295"]),
    ("bit1", "BIT(1)", "bit", ["b'0'", "b'1'"]),
    ("bit8", "BIT(8)", "bit", ["b'0'", "b'11111111'", "b'10000000'"]),
    ("bit13", "BIT(13)", "bit", ["b'0'", "b'1000000000001'", "8191"]),
    ("bit64", "BIT(64)", "bit", ["0", "18446744073709551615", "9223372036854775808"]),
]

NUMBERS = [
    ("dec65_30", "DECIMAL(65,30)", "decimal",
     ["0", "-" + "9" * 35 + "." + "9" * 30, "9" * 35 + "." + "9" * 30, "0.000000000000000000000000000001",
      "-12345678901234567890.123456789"]),
    ("dec10", "DECIMAL(10,0)", "decimal", ["0", "-9999999999", "9999999999", "1000000000"]),
    ("dec5_2", "DECIMAL(5,2)", "decimal", ["0", "-999.99", "999.99", "-0.01", "0.50"]),
    ("dec18_9", "DECIMAL(18,9)", "decimal", ["0", "-999999999.999999999", "1.000000001", "100000000.5"]),
    ("dec30_30", "DECIMAL(30,30)", "decimal", ["0", "-0." + "9" * 30, "0.1"]),
    ("dec1", "DECIMAL(1,0)", "decimal", ["0", "-9", "9"]),
    ("dec8_7", "DECIMAL(8,7)", "decimal", ["0", "-9.9999999", "1.0000001"]),
    ("dec_u", "DECIMAL(20,4) UNSIGNED", "decimal", ["0", "9999999999999999.9999"]),
    ("f32", "FLOAT", "float", ["0", "1.1", "-3.402823466E+38", "1.17549435E-38", "16777216", "-0.25", "123456.789"]),
    ("f64", "DOUBLE", "double",
     ["0", "1.1", "-1.7976931348623157E+308", "2.2250738585072014E-308", "1e15", "1e14", "123456789.12345679",
      "-1e-15", "1e-16", "100000"]),
]

TIMES = [
    ("yr", "YEAR", "text", ["0", "1901", "2155", "1970"]),
    ("dt", "DATE", "text", quoted("0000-00-00", "2024-00-00", "2024-02-00", "1000-01-01", "9999-12-31", "1970-01-01", "2023-02-31")),
    ("ti0", "TIME", "text", quoted("00:00:00", "-838:59:59", "838:59:59", "-00:00:01", "12:34:56")),
    ("ti1", "TIME(1)", "text", quoted("00:00:00", "-838:59:58", "838:59:59", "-00:00:01", "12:34:56.7")),
    ("ti3", "TIME(3)", "text", quoted("00:00:00", "-838:59:58.999", "838:59:59", "-00:00:00.001", "-12:34:56.789", "-00:00:01")),
    ("ti6", "TIME(6)", "text", quoted("00:00:00", "-838:59:58.999999", "838:59:59", "-00:00:00.000001", "12:34:56.789012")),
    ("dt0", "DATETIME", "text", quoted("0000-00-00 00:00:00", "1000-01-01 00:00:00", "9999-12-31 23:59:59", "1970-01-01 00:00:00", "2024-00-00 01:02:03")),
    ("dt2", "DATETIME(2)", "text", quoted("0000-00-00 00:00:00", "1000-01-01 00:00:00.01", "9999-12-31 23:59:59.99")),
    ("dt3", "DATETIME(3)", "text", quoted("0000-00-00 00:00:00", "1969-12-31 23:59:59.999", "2024-02-29 12:34:56.007")),
    ("dt6", "DATETIME(6)", "text", quoted("0000-00-00 00:00:00", "0001-01-01 00:00:00.000001", "9999-12-31 23:59:59.999999")),
    ("ts0", "TIMESTAMP NULL DEFAULT NULL", "text", quoted("0000-00-00 00:00:00", "1970-01-01 00:00:01", "2038-01-19 03:14:07")),
    ("ts2", "TIMESTAMP(2) NULL DEFAULT NULL", "text", quoted("0000-00-00 00:00:00", "1970-01-01 00:00:01.01", "2038-01-19 03:14:07.99")),
    ("ts3", "TIMESTAMP(3) NULL DEFAULT NULL", "text", quoted("0000-00-00 00:00:00", "2024-02-29 12:34:56.789")),
    ("ts6", "TIMESTAMP(6) NULL DEFAULT NULL", "text", quoted("0000-00-00 00:00:00", "2024-02-29 12:34:56.000001", "2038-01-19 03:14:07.999999")),
]

# Below zero, a fraction borrows from the whole seconds; each width has its own arithmetic.
NEGATIVE_TIMES = [
    ("ti%d" % digits, "TIME(%d)" % digits, "text",
     quoted("-00:00:00." + "0" * (digits - 1) + "1", "-00:00:00." + "9" * digits, "-00:00:01", "-12:34:56." + "5" * digits,
            "-838:59:58." + "9" * digits, "-00:01:00." + "1" * digits, "-01:00:00." + "0" * digits))
    for digits in range(1, 7)
]

WIDE_ENUM = ",".join("'l%d'" % i for i in range(1, 301))


def set_of(n):
    return "SET(%s)" % ",".join("'s%d'" % i for i in range(1, n + 1))


STRINGS = [
    ("c10_latin1", "CHAR(10) CHARACTER SET latin1", "bytes", quoted("", "caf\u00e9", "0123456789", "x")),
    ("c100_utf8", "CHAR(100) CHARACTER SET utf8", "bytes", quoted("", "\u00fc" * 100, "plain", "1", "2", "3", "4")),
    ("c255_utf8mb4", "CHAR(255) CHARACTER SET utf8mb4", "bytes", quoted("", "\U0001f600" * 255, "abc", "\u4e2d\u6587", "1", "2", "3", "4", "5", "6")),
    ("v10", "VARCHAR(10) CHARACTER SET utf8mb4", "bytes", quoted("", "0123456789", "\U0001f600")),
    ("v63", "VARCHAR(63) CHARACTER SET utf8mb4", "bytes", quoted("", "\U0001f600" * 63, "1", "2", "3")),
    ("v64", "VARCHAR(64) CHARACTER SET utf8mb4", "bytes", quoted("", "\U0001f600" * 64, "1", "2", "3", "4", "tab\\tnewline\\n quote\\' backslash\\\\ nul\\0")),
    ("v300_gbk", "VARCHAR(300) CHARACTER SET gbk", "bytes", quoted("", "\u4e2d\u6587", "x" * 300, "1", "2", "3", "4")),
    ("v20_ucs2", "VARCHAR(20) CHARACTER SET ucs2", "bytes", quoted("", "\u4e2d\u6587 ucs2")),
    ("b16", "BINARY(16)", "binary16", ["''", "x'01000000'", "x'%s'" % ("ff" * 16), "x'00'"]),
    ("vb300", "VARBINARY(300)", "bytes", ["''", "x'0001feff'", "repeat(x'00', 300)", "'1'", "'2'", "'3'", "'4'"]),
    ("tinyblob", "TINYBLOB", "bytes", ["''", "repeat('t', 255)", "x'00'", "'1'", "'2'", "'3'", "'4'"]),
    ("blob_", "BLOB", "bytes", ["''", "repeat('b', 300)", "x'00ff'", "'1'", "'2'", "'3'", "'4'"]),
    ("mediumblob", "MEDIUMBLOB", "bytes", ["''", "repeat('m', 300)", "'1'", "'2'", "'3'", "'4'"]),
    ("longblob", "LONGBLOB", "bytes", ["''", "repeat('l', 300)", "'1'", "'2'", "'3'", "'4'"]),
    ("tinytext", "TINYTEXT CHARACTER SET latin1", "bytes", quoted("", "\u00e9")),
    ("text_", "TEXT CHARACTER SET utf8mb4", "bytes", quoted("", "\U0001f600 text")),
    ("mediumtext", "MEDIUMTEXT CHARACTER SET utf8mb4", "bytes", quoted("", "medium")),
    ("longtext", "LONGTEXT CHARACTER SET utf8mb4", "bytes", quoted("", "long")),
    ("en", "ENUM('a','b','\u00fc') CHARACTER SET utf8mb4", "enum", quoted("a", "\u00fc", "not a label", "b")),
    ("en300", "ENUM(%s) CHARACTER SET latin1" % WIDE_ENUM, "enum", quoted("l1", "l256", "l300")),
    ("set3", "SET('x','y','z') CHARACTER SET latin1", "set", quoted("", "x", "x,z", "x,y,z")),
    ("set9", set_of(9), "set", quoted("", "s9", "s1,s9")),
    ("set17", set_of(17), "set", quoted("", "s17", "s1,s8,s16")),
    ("set33", set_of(33), "set", quoted("", "s33", "s1,s33")),
    ("set64", set_of(64), "set", ["0", "18446744073709551615", "9223372036854775808", "1"]),
    ("point_", "POINT", "bytes", ["NULL", "{geo}('POINT(1 -2.5)')"]),
    ("geometry_", "GEOMETRY", "bytes", ["NULL", "{geo}('LINESTRING(0 0,1 1,2 2)')", "{geo}('POLYGON((0 0,0 1,1 1,0 0))')"]),
]

COMMON = INTEGERS + NUMBERS + TIMES + STRINGS

DOCUMENTS = [
    "'null'", "'true'", "'false'", "'0'", "'-1'", "'32767'", "'-32768'", "'65535'", "'65536'", "'-2147483648'",
    "'4294967295'", "'4294967296'", "'-9223372036854775808'", "'18446744073709551615'", "'18446744073709551616'",
    "'1.0'", "'1.5'", "'1e100'", "'-1e-7'", "'0.1'", "'123456789012345680'", "'1e15'", "'\"\"'",
    "'\"plain\"'", "JSON_QUOTE(CONCAT('quote\" back\\\\slash /', CHAR(8, 9, 10, 12, 13, 1, 31, 127 USING utf8mb4)))",
    "JSON_QUOTE('\u4e2d\u6587 \U0001f600')", "'[]'", "'{}'", "'[1, [2, [3, {\"a\": []}]]]'",
    "'{\"bb\": 1, \"a\": 2, \"ccc\": {\"\": null, \"b\": [true, false]}}'",
    "JSON_OBJECT('k', REPEAT('x', 127), 'l', REPEAT('y', 128), 'm', REPEAT('z', 20000))",
    "JSON_ARRAY(CAST(12.3400 AS DECIMAL(10,4)), CAST(-0.5 AS DECIMAL(3,1)), 1.10)",
    "JSON_ARRAY(CAST('2024-02-29' AS DATE), CAST('-12:34:56.789' AS TIME(3)), CAST('2024-02-29 01:02:03.000004' AS DATETIME(6)))",
    "JSON_ARRAY(TIMESTAMP'1000-01-01 00:00:00', DATE'9999-12-31', TIME'838:59:59')",
    "JSON_OBJECT('b', b'101', 'x', x'0102', 'blob', CAST(REPEAT('q', 200) AS BINARY))",
    "JSON_ARRAY(CAST(1.1 AS FLOAT), CAST(2020 AS YEAR), 1e0, 2e0/3)",
]

# Over 64 KiB, so that containers take their large form.
LARGE_DOCUMENTS = [
    "JSON_OBJECT('large', JSON_ARRAY(REPEAT('x', 66000), 1, -1, 70000, -70000, 3000000000, true, null, 1.5), 'i', 70000, 'u', 4294967295)",
]
