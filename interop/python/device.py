"""A device, or a gateway with devices behind it, that speaks through the vendor's SDK and nothing else. It does what it is told, a JSON line on
stdin each, and tells on stdout what came of it and what the server wanted. Not here: what must come of it (the runner compares)."""

import json
import os
import sys
import threading
import time
import traceback
from importlib.metadata import version

from enos.core.MqttClient import MqttClient
from enos.core.internal.Profile import Profile
from enos.core.login.DynamicActivationLogin import DynamicActivationLogin
from enos.core.login.MessageIntegrationLogin import MessageIntegrationLogin
from enos.message.downstream.tsl.MeasurepointSetCommand import MeasurepointSetCommand
from enos.message.downstream.tsl.MeasurepointSetReply import MeasurepointSetReply
from enos.message.downstream.tsl.ServiceInvocationCommand import ServiceInvocationCommand
from enos.message.downstream.tsl.ServiceInvocationReply import ServiceInvocationReply
from enos.message.upstream.integration.IntMeaturepointPostRequest import IntMeaturepointPostRequest
from enos.message.upstream.status.SubDeviceLoginBatchRequest import SubDeviceLoginBatchRequest
from enos.message.upstream.status.SubDeviceLoginRequest import SubDeviceLoginRequest
from enos.message.upstream.status.SubDeviceLogoutRequest import SubDeviceLogoutRequest
from enos.message.upstream.topo.SubDeviceInfo import SubDeviceInfo
from enos.message.upstream.topo.TopoAddRequest import TopoAddRequest
from enos.message.upstream.topo.TopoDeleteRequest import TopoDeleteRequest
from enos.message.upstream.topo.TopoGetRequest import TopoGetRequest
from enos.message.upstream.tsl.MeasurepointPostRequest import MeasurepointPostRequest

answers = sys.stdout
answering = threading.Lock()
# What the SDK prints must not come between the answers.
sys.stdout = sys.stderr


def tell(message):
    with answering:
        answers.write(json.dumps(message) + "\n")
        answers.flush()


def command(kind, message, arguments):
    """Tells the runner of a command, with the keys of the topic it came on."""
    told = {"kind": kind, "productKey": arguments[0], "deviceKey": arguments[1]}
    tell({**told, "commandId": message.get_id(), "service": (list(arguments) + [None])[2], "params": message.get_params()})


def on_set(message, arguments):
    command("set", message, arguments)
    return MeasurepointSetReply.builder().set_code(200).build()


def on_invoke(message, arguments):
    command("invoke", message, arguments)
    service, params = arguments[2], message.get_params()
    if service == "multiply":
        product = params["left"] * params["right"]
        return ServiceInvocationReply.builder().add_output_data("result", product).set_code(200).build()
    if service == "refuse":
        return ServiceInvocationReply.builder().set_code(2001).set_message("not today").build()
    raise RuntimeError("valve stuck")


class Device:
    def __init__(self):
        self.client = None
        self.secret = None
        self.activated = threading.Event()

    def about(self, _):
        sdk = "enos-mqtt-sdk-python %s, paho-mqtt %s" % (version("enos-mqtt-sdk-python"), version("paho-mqtt"))
        return {"sdk": sdk, "runtime": "Python %s" % sys.version.split()[0]}

    def connect(self, told):
        self.client = MqttClient(told["url"], told["productKey"], told["deviceKey"], told["deviceSecret"])
        return self.go(told)

    def activate(self, told):
        """Logs in by the product's secret, and waits for the device's own."""
        login = DynamicActivationLogin(told["url"], told["productKey"], told["productSecret"], told["deviceKey"])
        self.client = MqttClient(profile=Profile.create_instance(login))
        self.client.on_device_dynamic_active = self.on_activated
        is_in = self.go(told)["connected"]
        if is_in:
            self.activated.wait(told["waitMs"] / 1000)
        return {"deviceSecret": self.secret, "connected": self.client.is_connected()}

    def on_activated(self, secret):
        self.secret = secret
        self.activated.set()

    def go(self, told):
        if told.get("handles", True):
            self.client.register_arrived_message_handler(MeasurepointSetCommand.get_class(), on_set)
            self.client.register_arrived_message_handler(ServiceInvocationCommand.get_class(), on_invoke)
        came = threading.Event()

        class Callback:
            on_connect = staticmethod(came.set)
            on_disconnect = staticmethod(lambda: print("disconnected"))
            on_connect_failed = staticmethod(lambda: print("connect failed"))

        self.client.connect(Callback)
        # The SDK says nothing of a refused login and goes on trying.
        came.wait(told["waitMs"] / 1000)
        return {"connected": self.client.is_connected()}

    def integrate(self, told):
        """Logs in to the channel of a product, and posts for a device of it that is not connected itself."""
        login = MessageIntegrationLogin(told["url"], told["productKey"], told["productSecret"])
        self.client = MqttClient(profile=Profile.create_instance(login))
        if not self.go(told)["connected"]:
            raise RuntimeError("the login to the channel failed")
        builder = IntMeaturepointPostRequest.builder()
        return self.ask(builder.add_meaturepoint(told["deviceKey"], int(time.time() * 1000), told["points"]).build())

    def post(self, told):
        builder = MeasurepointPostRequest.builder().add_measurepoints(told["points"]).set_timestamp(int(time.time() * 1000))
        if "deviceKey" in told:
            builder.set_product_key(told["productKey"]).set_device_key(told["deviceKey"])
        return self.ask(builder.build())

    def add_to_topology(self, told):
        builder = TopoAddRequest.builder()
        for each in told["devices"]:
            builder.add_sub_device(SubDeviceInfo(each["productKey"], each["deviceKey"], each["deviceSecret"]))
        return self.ask(builder.build())

    def remove_from_topology(self, told):
        return self.ask(TopoDeleteRequest.builder().delete_sub_device(told["productKey"], told["deviceKey"]).build())

    def topology(self, _):
        return self.ask(TopoGetRequest.builder().build())

    def log_in(self, told):
        credentials = (told["productKey"], told["deviceKey"], told["deviceSecret"])
        return self.ask(SubDeviceLoginRequest.builder().set_sub_device_info(*credentials).build())

    def log_in_all(self, told):
        builder = SubDeviceLoginBatchRequest.builder()
        for each in told["devices"]:
            builder.add_sub_device_info(each["productKey"], each["deviceKey"], each["deviceSecret"])
        return self.ask(builder.build())

    def log_out(self, told):
        builder = SubDeviceLogoutRequest.builder()
        return self.ask(builder.set_sub_product_key(told["productKey"]).set_sub_device_key(told["deviceKey"]).build())

    def ask(self, request):
        response = self.client.publish(request)
        return {"code": response.get_code(), "data": response.get_data(), "message": response.get_message()}


def main():
    device = Device()
    calls = {
        "about": device.about,
        "connect": device.connect,
        "activate": device.activate,
        "integrate": device.integrate,
        "post": device.post,
        "addToTopology": device.add_to_topology,
        "removeFromTopology": device.remove_from_topology,
        "topology": device.topology,
        "logIn": device.log_in,
        "logInAll": device.log_in_all,
        "logOut": device.log_out,
    }
    for line in sys.stdin:
        told = json.loads(line)
        try:
            tell({"re": told["id"], "result": calls[told["do"]](told["with"])})
        except Exception as error:  # the runner must hear of every failure, whatever the SDK throws
            traceback.print_exc()
            tell({"re": told["id"], "error": repr(error)})
    if device.client is not None:
        device.client.close()
    # The SDK's threads do not end by themselves where a login was refused.
    answers.flush()
    os._exit(0)


main()
