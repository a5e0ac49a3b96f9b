// A device, or a gateway with devices behind it, that speaks through the vendor's SDK and nothing else. It does what it is told, a JSON line on stdin
// each, and tells on stdout what came of it and what the server wanted. Not here: what must come of it (the runner compares).

package interop;

import com.envisioniot.enos.iot_mqtt_sdk.core.ConnCallback;
import com.envisioniot.enos.iot_mqtt_sdk.core.MqttClient;
import com.envisioniot.enos.iot_mqtt_sdk.core.codec.CompressType;
import com.envisioniot.enos.iot_mqtt_sdk.core.login.DynamicActivatingDeviceLoginInput;
import com.envisioniot.enos.iot_mqtt_sdk.core.login.MessageIntegrationLoginInput;
import com.envisioniot.enos.iot_mqtt_sdk.core.msg.IMqttRequest;
import com.envisioniot.enos.iot_mqtt_sdk.core.profile.DefaultProfile;
import com.envisioniot.enos.iot_mqtt_sdk.core.profile.FileProfile;
import com.envisioniot.enos.iot_mqtt_sdk.message.downstream.tsl.MeasurepointSetCommand;
import com.envisioniot.enos.iot_mqtt_sdk.message.downstream.tsl.MeasurepointSetReply;
import com.envisioniot.enos.iot_mqtt_sdk.message.downstream.tsl.ServiceInvocationCommand;
import com.envisioniot.enos.iot_mqtt_sdk.message.downstream.tsl.ServiceInvocationReply;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.BaseMqttResponse;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.integration.IntMeasurepointPostRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.status.SubDeviceLoginBatchRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.status.SubDeviceLoginRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.status.SubDeviceLogoutRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.topo.TopoAddRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.topo.TopoDeleteRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.topo.TopoGetRequest;
import com.envisioniot.enos.iot_mqtt_sdk.message.upstream.tsl.MeasurepointPostRequest;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

public final class Device {
  private static final Gson JSON = new GsonBuilder().serializeNulls().create();
  /** how often it is looked whether the SDK has logged in again: it does not say */
  private static final long LOOK_EVERY_MS = 50;

  private final PrintStream answers;
  private MqttClient client;

  private Device(PrintStream answers) {
    this.answers = answers;
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    // What the SDK prints must not come between the answers.
    System.setOut(System.err);
    Device device = new Device(answers);
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
      device.tell(answer);
    }
    if (device.client != null) device.client.close();
    // The SDK's threads do not end by themselves where a login was refused.
    System.exit(0);
  }

  private void tell(Map<String, Object> message) {
    answers.println(JSON.toJson(message));
  }

  private Object call(String name, JsonObject with) throws Exception {
    switch (name) {
      case "about":
        return about();
      case "connect":
        return connect(with);
      case "activate":
        return activate(with);
      case "integrate":
        return integrate(with);
      case "post":
        return ask(measurepoints(with));
      case "topology":
        return ask(TopoGetRequest.builder().build());
      case "addToTopology":
        return ask(additions(with));
      case "removeFromTopology":
        return ask(TopoDeleteRequest.builder().addSubDevice(text(with, "productKey"), text(with, "deviceKey")).build());
      case "logIn":
        return ask(SubDeviceLoginRequest.builder()
            .setSubDeviceInfo(text(with, "productKey"), text(with, "deviceKey"), text(with, "deviceSecret"))
            .build());
      case "logInAll":
        return ask(logins(with));
      case "logOut":
        return ask(SubDeviceLogoutRequest.builder()
            .setSubProductKey(text(with, "productKey"))
            .setSubDeviceKey(text(with, "deviceKey"))
            .build());
      default:
        throw new IllegalArgumentException("unknown call " + name);
    }
  }

  /** The jar that the SDK was taken from, which has its version in its name. */
  private static Map<String, Object> about() {
    String jar = new File(MqttClient.class.getProtectionDomain().getCodeSource().getLocation().getPath()).getName();
    return Map.of("sdk", jar.replaceFirst("-(\\d[^-]*)\\.jar$", " $1"), "runtime", "Java " + System.getProperty("java.version"));
  }

  private Map<String, Object> connect(JsonObject with) throws Exception {
    client = new MqttClient(text(with, "url"), text(with, "productKey"), text(with, "deviceKey"), text(with, "deviceSecret"));
    client.getProfile().setAutoReconnect(true);
    if (with.has("compress")) client.getProfile().setCompressType(CompressType.valueOf(text(with, "compress")));
    return Map.of("connected", go(with, new AtomicInteger()) && client.isConnected());
  }

  /** Logs in to the channel of a product, and posts for a device of it that is not connected itself. */
  private Map<String, Object> integrate(JsonObject with) throws Exception {
    client = new MqttClient(new DefaultProfile(
        new MessageIntegrationLoginInput(text(with, "url"), text(with, "productKey"), text(with, "productSecret"))));
    if (!go(with, new AtomicInteger())) throw new IllegalStateException("the login to the channel failed");
    Map<String, Object> points = JSON.<Map<String, Object>>fromJson(with.get("points"), Map.class);
    return ask(IntMeasurepointPostRequest.builder()
        .addMeasurepoint(text(with, "deviceKey"), System.currentTimeMillis(), points)
        .build());
  }

  /** Logs in by the product's secret, waits for the device's own, and for the login by that one. The SDK keeps both in a file. */
  private Map<String, Object> activate(JsonObject with) throws Exception {
    long until = System.currentTimeMillis() + with.get("waitMs").getAsLong();
    FileProfile profile = new FileProfile(
        text(with, "profile"),
        new DynamicActivatingDeviceLoginInput(
            text(with, "url"), text(with, "productKey"), text(with, "productSecret"), text(with, "deviceKey")));
    profile.persist();
    client = new MqttClient(profile);
    client.getProfile().setAutoReconnect(true);
    AtomicInteger logins = new AtomicInteger();
    boolean isIn = go(with, logins);
    // The SDK tells of a login once more when that connection ends, so that two of them alone mean nothing.
    while (isIn && !(logins.get() > 1 && client.isConnected()) && System.currentTimeMillis() < until) Thread.sleep(LOOK_EVERY_MS);
    Map<String, Object> result = new HashMap<>();
    result.put("deviceSecret", profile.getDeviceSecret());
    result.put("connected", client.isConnected());
    return result;
  }

  /** Connects, and returns when that has gone well or badly, or the time is over: whether it went well. Logins are counted as the SDK tells of them. */
  private boolean go(JsonObject with, AtomicInteger logins) throws InterruptedException {
    if (!with.has("handles") || with.get("handles").getAsBoolean()) {
      client.setArrivedMsgHandler(MeasurepointSetCommand.class, this::onSet);
      client.setArrivedMsgHandler(ServiceInvocationCommand.class, this::onInvoke);
    }
    CountDownLatch known = new CountDownLatch(1);
    client.connect(new ConnCallback() {
      @Override
      public void connectComplete(boolean reconnect) {
        logins.incrementAndGet();
        known.countDown();
      }

      @Override
      public void connectLost(Throwable cause) {
        System.err.println("connection lost: " + cause);
      }

      @Override
      public void connectFailed(Throwable cause) {
        System.err.println("connect failed: " + cause);
        known.countDown();
      }
    });
    known.await(with.get("waitMs").getAsLong(), TimeUnit.MILLISECONDS);
    return logins.get() > 0;
  }

  private MeasurepointSetReply onSet(MeasurepointSetCommand command, List<String> arguments) {
    tellCommand("set", command.getMessageId(), arguments, command.getParams());
    return MeasurepointSetReply.builder().setCode(200).build();
  }

  private ServiceInvocationReply onInvoke(ServiceInvocationCommand command, List<String> arguments) {
    Map<String, Object> params = command.getParams();
    tellCommand("invoke", command.getMessageId(), arguments, params);
    switch (arguments.get(2)) {
      case "multiply":
        double product = ((Number) params.get("left")).doubleValue() * ((Number) params.get("right")).doubleValue();
        return ServiceInvocationReply.builder().addOutputData("result", product).setCode(200).build();
      case "refuse":
        return ServiceInvocationReply.builder().setCode(2001).setMessage("not today").build();
      default:
        throw new IllegalStateException("valve stuck");
    }
  }

  /** Tells the runner of a command, with the keys of the topic it came on. */
  private void tellCommand(String kind, String commandId, List<String> arguments, Object params) {
    Map<String, Object> told = new HashMap<>();
    told.put("kind", kind);
    told.put("commandId", commandId);
    told.put("productKey", arguments.get(0));
    told.put("deviceKey", arguments.get(1));
    told.put("service", arguments.size() > 2 ? arguments.get(2) : null);
    told.put("params", params);
    tell(told);
  }

  private static MeasurepointPostRequest measurepoints(JsonObject with) {
    MeasurepointPostRequest.Builder builder = MeasurepointPostRequest.builder();
    if (with.has("deviceKey")) {
      builder.setProductKey(text(with, "productKey"));
      builder.setDeviceKey(text(with, "deviceKey"));
    }
    with.getAsJsonObject("points").entrySet().forEach(point -> builder.addMeasurePoint(point.getKey(), JSON.fromJson(point.getValue(), Object.class)));
    return builder.setTimestamp(System.currentTimeMillis()).build();
  }

  private static TopoAddRequest additions(JsonObject with) {
    TopoAddRequest.Builder builder = TopoAddRequest.builder();
    for (JsonElement each : with.getAsJsonArray("devices")) {
      JsonObject device = each.getAsJsonObject();
      builder.addSubDevice(text(device, "productKey"), text(device, "deviceKey"), text(device, "deviceSecret"));
    }
    return builder.build();
  }

  private static SubDeviceLoginBatchRequest logins(JsonObject with) {
    SubDeviceLoginBatchRequest.Builder builder = SubDeviceLoginBatchRequest.builder();
    for (JsonElement each : with.getAsJsonArray("devices")) {
      JsonObject device = each.getAsJsonObject();
      builder.addSubDeviceInfo(text(device, "productKey"), text(device, "deviceKey"), text(device, "deviceSecret"));
    }
    return builder.build();
  }

  private <T extends BaseMqttResponse> Map<String, Object> ask(IMqttRequest<T> request) throws Exception {
    T response = client.publish(request);
    Map<String, Object> result = new HashMap<>();
    result.put("code", response.getCode());
    result.put("data", response.getData());
    result.put("message", response.getMessage());
    return result;
  }

  private static String text(JsonObject object, String name) {
    return object.get(name).getAsString();
  }
}
