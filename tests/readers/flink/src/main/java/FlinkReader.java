import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import java.time.LocalTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.formats.json.canal.CanalJsonFormatFactory;
import org.apache.flink.formats.json.debezium.DebeziumJsonFormatFactory;
import org.apache.flink.formats.json.maxwell.MaxwellJsonFormatFactory;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.runtime.connector.source.ScanRuntimeProviderContext;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;
import org.apache.flink.table.types.utils.TypeConversions;
import org.apache.flink.util.Collector;
import org.apache.flink.util.SimpleUserCodeClassLoader;
import org.apache.flink.util.UserCodeClassLoader;

/**
 * Reads change records through Flink's own JSON formats, made by the factories that SQL tables use.
 *
 * One job a line of standard input, its answer a line of standard output:
 *
 *   {"format": "debezium-json", "options": {"schema-include": "true"}, "columns": [["id", "BIGINT"], ...],
 *    "messages": ["...", ...]}
 *   {"rows": [[{"kind": "+I", "values": ["1", null, ...]}, ...], ...]}
 *
 * with a list of rows for each message; a message that the format refuses has {"error": "..."} in place of its list.
 * Values are text, arrays of text, or null.
 */
public final class FlinkReader {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(JSON.writeValueAsString(read(JSON.readTree(line))));
        }
    }

    private static ObjectNode read(JsonNode job) throws Exception {
        List<DataTypes.Field> fields = new ArrayList<>();
        for (JsonNode column : job.get("columns")) {
            LogicalType type = LogicalTypeParser.parse(column.get(1).asText(), FlinkReader.class.getClassLoader());
            fields.add(DataTypes.FIELD(column.get(0).asText(), TypeConversions.fromLogicalToDataType(type)));
        }
        DataType table = DataTypes.ROW(fields);
        Configuration options = new Configuration();
        Iterator<Map.Entry<String, JsonNode>> given = job.get("options").fields();
        while (given.hasNext()) {
            Map.Entry<String, JsonNode> option = given.next();
            options.setString(option.getKey(), option.getValue().asText());
        }
        DeserializationSchema<RowData> schema = factory(job.get("format").asText())
                .createDecodingFormat(null, options)
                .createRuntimeDecoder(ScanRuntimeProviderContext.INSTANCE, table);
        schema.open(new Opening());

        ObjectNode answer = JSON.createObjectNode();
        ArrayNode all = answer.putArray("rows");
        RowType rowType = (RowType) table.getLogicalType();
        for (JsonNode message : job.get("messages")) {
            ArrayNode rows = JSON.createArrayNode();
            try {
                // A null value is a tombstone.
                byte[] bytes = message.isNull() ? null : message.asText().getBytes(StandardCharsets.UTF_8);
                schema.deserialize(bytes, new Collector<RowData>() {
                    @Override
                    public void collect(RowData row) {
                        rows.add(shown(row, rowType));
                    }

                    @Override
                    public void close() {}
                });
                all.add(rows);
            } catch (Exception refused) {
                Throwable cause = refused;
                while (cause.getCause() != null) {
                    cause = cause.getCause();
                }
                all.addObject().put("error", String.valueOf(cause.getMessage()));
            }
        }
        return answer;
    }

    private static DeserializationFormatFactory factory(String format) {
        switch (format) {
            case "canal-json":
                return new CanalJsonFormatFactory();
            case "debezium-json":
                return new DebeziumJsonFormatFactory();
            case "maxwell-json":
                return new MaxwellJsonFormatFactory();
            default:
                throw new IllegalArgumentException("unknown format " + format);
        }
    }

    private static ObjectNode shown(RowData row, RowType type) {
        ObjectNode shown = JSON.createObjectNode();
        shown.put("kind", row.getRowKind().shortString());
        ArrayNode values = shown.putArray("values");
        for (int at = 0; at < type.getFieldCount(); at++) {
            LogicalType column = type.getTypeAt(at);
            values.add(shown(RowData.createFieldGetter(column, at).getFieldOrNull(row), column));
        }
        return shown;
    }

    private static JsonNode shown(Object value, LogicalType type) {
        if (value == null) {
            return JSON.nullNode();
        }
        switch (type.getTypeRoot()) {
            case BINARY:
            case VARBINARY:
                return JSON.getNodeFactory().textNode(Base64.getEncoder().encodeToString((byte[]) value));
            case DATE:
                return JSON.getNodeFactory().textNode(LocalDate.ofEpochDay((Integer) value).toString());
            case TIME_WITHOUT_TIME_ZONE:
                return JSON.getNodeFactory().textNode(LocalTime.ofNanoOfDay((Integer) value * 1_000_000L).toString());
            case ARRAY: {
                ArrayData array = (ArrayData) value;
                LogicalType element = ((ArrayType) type).getElementType();
                ArrayData.ElementGetter getter = ArrayData.createElementGetter(element);
                ArrayNode shown = JSON.createArrayNode();
                for (int at = 0; at < array.size(); at++) {
                    shown.add(shown(getter.getElementOrNull(array, at), element));
                }
                return shown;
            }
            case ROW: {
                return shown((RowData) value, (RowType) type).get("values");
            }
            default:
                return JSON.getNodeFactory().textNode(value.toString());
        }
    }

    /** What a task gives its formats when it starts. */
    private static final class Opening implements DeserializationSchema.InitializationContext {
        @Override
        public MetricGroup getMetricGroup() {
            return new UnregisteredMetricsGroup();
        }

        @Override
        public UserCodeClassLoader getUserCodeClassLoader() {
            return SimpleUserCodeClassLoader.create(FlinkReader.class.getClassLoader());
        }
    }

    private FlinkReader() {}
}
