#!/usr/bin/python3
"""docker-py: containers, streams, archives, builds, networks, volumes."""
import io
import os
import tarfile
import docker

image = os.environ["CONTAINERS_IMAGE"]
name = image.split(":")[0] + "-py"
client = docker.from_env()
print(client.ping())
print(client.containers.run(image, "echo hello", remove=True, network_mode="none"))
try:
    client.containers.run(image, ["sh", "-c", "exit 7"], remove=True, network_mode="none")
except docker.errors.ContainerError as error:
    print("status", error.exit_status)

one = client.containers.run(image, "sleep 300", detach=True, network_mode="none", labels={"mine": "1"})
print(one.exec_run(["sh", "-c", "echo out; exit 9"]))
print(b"".join(one.exec_run("cat /bin/busybox", stream=True).output) == open("/bin/busybox", "rb").read())
sock = one.exec_run("cat", stdin=True, socket=True).output
sock._sock.sendall(b"through")
sock._sock.shutdown(1)
back = b""
while piece := sock.read(4096):
    back += piece
print(back[8:])

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    member = tarfile.TarInfo("file")
    member.size = 3_000_000
    tar.addfile(member, io.BytesIO(b"x" * member.size))
print(one.put_archive("/", packed.getvalue()))
stream, stat = one.get_archive("/file")
print(stat["size"], sum(len(piece) for piece in stream) > 3_000_000)
print(one.stats(stream=False)["name"] == "/" + one.name)
one.reload()
print(one.status, one.labels["mine"])
one.kill()
print(one.wait()["StatusCode"])
one.remove(v=True)

talks = client.containers.run(image, ["sh", "-c", "echo one; sleep 0.2; echo two"], detach=True, network_mode="none")
print(list(talks.logs(stream=True, follow=True)))
talks.remove()

built, _ = client.images.build(fileobj=io.BytesIO(f"FROM {image}\nRUN echo made >/made\n".encode()), rm=True, tag=name)
print(client.containers.run(name, "cat /made", remove=True, network_mode="none"))
client.images.remove(name)

network = client.networks.create(name)
volume = client.volumes.create(name)
both = client.containers.create(image, "sleep 300", network=name, volumes=[f"{name}:/data"])
both.start()
print([it.name == name for it in client.networks.list(names=[name])])
if os.environ.get("CONTAINERS_LEAVE") != "1":
    both.remove(force=True)
    network.remove()
    volume.remove()
