// A device that speaks through the vendor's HTTP SDK and nothing else: it asks, and what the server wants of it comes back with an answer. It does what
// it is told, a JSON line on stdin each, and tells on stdout what came of it. Not here: what must come of it (the runner compares).

package interop;

import com.envisioniot.enos.iot_http_sdk.HttpConnection;
import com.envisioniot.enos.iot_http_sdk.SessionConfiguration;
import com.envisioniot.enos.iot_http_sdk.StaticDeviceCredential;
import com.envisioniot.enos.iot_mqtt_sdk.core.msg.IMessageHandler;
import com.envisioniot.enos.iot_mqtt_sdk.message.downstream.tsl.ServiceInvocationCommand;
import com.envisioniot.enos.iot_mqtt_sdk.message.downstream.tsl.ServiceInvocationReply;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.command.CommandType;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.tsl.MeasurepointPostRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.tsl.MeasurepointPostResponse;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

public final class HttpDevice {
  private static final Gson JSON = new GsonBuilder().serializeNulls().create();

  private final PrintStream answers;
  private HttpConnection connection;

  private HttpDevice(PrintStream answers) {
    this.answers = answers;
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    // What the SDK prints must not come between the answers.
    System.setOut(System.err);
    HttpDevice device = new HttpDevice(answers);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject told = JSON.fromJson(line, JsonObject.class);
      Map<String, Object> answer = new HashMap<>();
      answer.put("re", told.get("id"));
      try {
        answer.put("result", device.call(told.get("do").getAsString(), told.getAsJsonObject("with")));
      } catch (Exception error) {
        error.printStackTrace();
        answer.put("error", error.toString());
      }
      answers.println(JSON.toJson(answer));
    }
    // The SDK's pools do not end by themselves.
    System.exit(0);
  }

  private Object call(String name, JsonObject with) throws Exception {
    switch (name) {
      case "about":
        return about();
      case "connect":
        return connect(with);
      case "post":
        return post(with);
      default:
        throw new IllegalArgumentException("unknown call " + name);
    }
  }

  /** The jar that the SDK was taken from, which has its version in its name. */
  private static Map<String, Object> about() {
    String jar = new File(HttpConnection.class.getProtectionDomain().getCodeSource().getLocation().getPath()).getName();
    return Map.of("sdk", jar.replaceFirst("-(\\d[^-]*)\\.jar$", " $1"), "runtime", "Java " + System.getProperty("java.version"));
  }

  /** Logs in, and says that it takes service invocations along with its answers. */
  private Map<String, Object> connect(JsonObject with) throws Exception {
    StaticDeviceCredential credential =
        new StaticDeviceCredential(text(with, "productKey"), text(with, "deviceKey"), text(with, "deviceSecret"));
    SessionConfiguration session = SessionConfiguration.builder()
        .acceptCommandTypes(Set.of(CommandType.CMD_PENDING_INVOKE.getName()))
        .build();
    connection = new HttpConnection.Builder(text(with, "url"), credential).sessionConfiguration(session).build();
    IMessageHandler<ServiceInvocationCommand, ServiceInvocationReply> handler = this::onInvoke;
    connection.setArrivedMsgHandler(ServiceInvocationCommand.class, handler);
    int code = connection.auth().getCode();
    return Map.of("connected", code == 200 && connection.getSessionId() != null, "code", code);
  }

  private Map<String, Object> post(JsonObject with) throws Exception {
    MeasurepointPostRequest.Builder builder = MeasurepointPostRequest.builder();
    with.getAsJsonObject("points").entrySet().forEach(point -> builder.addMeasurePoint(point.getKey(), JSON.fromJson(point.getValue(), Object.class)));
    MeasurepointPostResponse response = connection.publish(builder.setTimestamp(System.currentTimeMillis()).build(), null);
    Map<String, Object> result = new HashMap<>();
    result.put("code", response.getCode());
    result.put("data", response.getData());
    return result;
  }

  private ServiceInvocationReply onInvoke(ServiceInvocationCommand command, List<String> arguments) {
    Map<String, Object> params = command.getParams();
    Map<String, Object> told = new HashMap<>();
    told.put("kind", "invoke");
    told.put("commandId", command.getMessageId());
    told.put("productKey", arguments.get(0));
    told.put("deviceKey", arguments.get(1));
    told.put("service", arguments.get(2));
    told.put("params", params);
    answers.println(JSON.toJson(told));
    double product = ((Number) params.get("left")).doubleValue() * ((Number) params.get("right")).doubleValue();
    return ServiceInvocationReply.builder().addOutputData("result", product).setCode(200).build();
  }

  private static String text(JsonObject object, String name) {
    return object.get(name).getAsString();
  }
}
