// An application that speaks through the vendor's Poseidon client and nothing else. It does what it is told, a JSON line on stdin each, and
// tells on stdout what the typed response held. Not here: what must be in it (the runner compares).

package interop;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.serializer.SerializerFeature;
import com.envision.apim.poseidon.config.PConfig;
import com.envision.apim.poseidon.core.Poseidon;
import com.envision.apim.poseidon.request.IPoseidonRequest;
import com.envisioniot.enos.api.common.constant.request.Pagination;
import com.envisioniot.enos.api.common.constant.request.Projection;
import com.envisioniot.enos.connect_service.v2_1.service.CancelCommandRequest;
import com.envisioniot.enos.connect_service.v2_1.service.CancelCommandResponse;
import com.envisioniot.enos.connect_service.v2_1.service.GetCommandRequest;
import com.envisioniot.enos.connect_service.v2_1.service.GetCommandResponse;
import com.envisioniot.enos.connect_service.v2_1.service.InvokeServiceRequest;
import com.envisioniot.enos.connect_service.v2_1.service.InvokeServiceResponse;
import com.envisioniot.enos.connect_service.v2_1.service.SearchCommandRequest;
import com.envisioniot.enos.connect_service.v2_1.service.SearchCommandResponse;
import com.envisioniot.enos.connect_service.v2_1.service.SetMeasruepointRequest;
import com.envisioniot.enos.connect_service.v2_1.service.SetMeasruepointResponse;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

public final class Application {
  private final String server;
  private final String appKey;
  private final String appSecret;

  private Application(JSONObject start) {
    server = start.getString("server");
    appKey = start.getString("appKey");
    appSecret = start.getString("appSecret");
  }

  public static void main(String[] args) throws Exception {
    // What the SDK prints must not come between the answers.
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Application application = null;
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JSONObject told = JSON.parseObject(line);
      JSONObject answer = new JSONObject(true);
      answer.put("re", told.get("id"));
      try {
        if (told.getString("do").equals("about")) {
          answer.put("result", about());
        } else if (told.getString("do").equals("start")) {
          application = new Application(told.getJSONObject("with"));
          answer.put("result", new JSONObject());
        } else {
          answer.put("result", application.call(told.getString("do"), told.getJSONObject("with")));
        }
      } catch (Exception error) {
        error.printStackTrace();
        answer.put("error", error.toString());
      }
      answers.println(JSON.toJSONString(answer, SerializerFeature.WriteMapNullValue));
    }
  }

  private static JSONObject about() {
    JSONObject about = new JSONObject();
    about.put("sdk", jar(Poseidon.class) + ", " + jar(GetCommandRequest.class));
    about.put("runtime", "Java " + System.getProperty("java.version"));
    return about;
  }

  /** The jar that a class was taken from, which has its version in its name. */
  private static String jar(Class<?> type) {
    String name = new File(type.getProtectionDomain().getCodeSource().getLocation().getPath()).getName();
    return name.replaceFirst("-(\\d[^-]*)\\.jar$", " $1");
  }

  /** The requests are filled by their setters, which have the names of the parameters. */
  private Object call(String name, JSONObject with) {
    switch (name) {
      case "setMeasurepoint":
        return response(with.toJavaObject(SetMeasruepointRequest.class), SetMeasruepointResponse.class);
      case "invokeService":
        return response(with.toJavaObject(InvokeServiceRequest.class), InvokeServiceResponse.class);
      case "get":
        return response(with.toJavaObject(GetCommandRequest.class), GetCommandResponse.class);
      case "cancel":
        return response(with.toJavaObject(CancelCommandRequest.class), CancelCommandResponse.class);
      case "search":
        return response(search(with), SearchCommandResponse.class);
      default:
        throw new IllegalArgumentException("unknown call " + name);
    }
  }

  private static SearchCommandRequest search(JSONObject with) {
    SearchCommandRequest request = new SearchCommandRequest();
    request.setOrgId(with.getString("orgId"));
    request.setAssetId(with.getString("assetId"));
    request.setProductKey(with.getString("productKey"));
    request.setDeviceKey(with.getString("deviceKey"));
    request.setExpression(with.getString("expression"));
    if (with.containsKey("pageSize")) {
      request.setPagination(new Pagination(with.getInteger("pageSize"), with.getInteger("pageNo"), null));
    }
    if (with.containsKey("projection")) {
      Projection projection = new Projection();
      projection.addAll(with.getJSONArray("projection").toJavaList(String.class));
      request.setProjection(projection);
    }
    return request;
  }

  /** The call, as the vendor's sample makes it. */
  private <T> T response(IPoseidonRequest request, Class<T> type) {
    return Poseidon.config(PConfig.init().appKey(appKey).appSecret(appSecret).debug())
        .url(server)
        .getResponse(request, type);
  }
}
