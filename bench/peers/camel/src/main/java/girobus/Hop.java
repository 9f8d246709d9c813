package girobus;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.math.BigDecimal;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.camel.Exchange;
import org.apache.camel.Processor;

/** Reads a payment, decides where it goes (property {@code queue}) and writes the journal record, in one step. */
public final class Hop implements Processor {
    private static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);
    private static final ObjectReader READER = JSON.readerFor(Map.class);
    private static final ObjectWriter WRITER = JSON.writer();
    private static final Map<String, String> ACCOUNTS = Map.of("DE89370400440532013000", "1800");
    private static final BigDecimal LARGE = new BigDecimal(5000);
    private static final BigDecimal TAX = new BigDecimal("0.19");

    @Override
    @SuppressWarnings("unchecked")
    public void process(Exchange exchange) throws Exception {
        Map<String, Object> payment = READER.readValue(exchange.getMessage().getBody(byte[].class));
        Map<String, Object> amount = (Map<String, Object>) payment.get("amount");
        BigDecimal value = new BigDecimal(amount.get("value").toString());
        String queue = "manual";
        if ("EUR".equals(amount.get("currency")) && value.compareTo(LARGE) < 0) {
            queue = "sepa";
        } else if ("USD".equals(amount.get("currency"))) {
            queue = "swift";
        }
        exchange.setProperty("queue", queue);
        exchange.getMessage().setBody(WRITER.writeValueAsBytes(journal(payment, amount, value)));
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> journal(Map<String, Object> payment, Map<String, Object> amount, BigDecimal value) {
        Map<String, Object> debtor = (Map<String, Object>) payment.get("debtor");
        Map<String, Object> creditor = (Map<String, Object>) payment.get("creditor");
        Map<String, Object> supplier = new LinkedHashMap<>();
        supplier.put("name", creditor.get("name"));
        supplier.put("iban", ((Map<String, Object>) creditor.get("account")).get("iban"));
        Map<String, Object> record = new LinkedHashMap<>();
        record.put("document", payment.get("end_to_end_id"));
        String iban = (String) ((Map<String, Object>) debtor.get("account")).get("iban");
        record.put("account", ACCOUNTS.getOrDefault(iban, "unknown"));
        record.put("supplier", supplier);
        record.put("amount", amount);
        record.put("tax", value.multiply(TAX));
        record.put("text", ((List<Object>) ((Map<String, Object>) payment.get("remittance")).get("unstructured")).get(0));
        record.put("booked", payment.get("execution_date"));
        return record;
    }
}
