# Threads, processes, signals, sockets and mappings, as Python uses them.
cat > t.py <<'END'
import json, mmap, os, queue, signal, socket, subprocess, tempfile, threading

print(json.loads(json.dumps({"a": [1, None, "x"]})))

work, done = queue.Queue(), queue.Queue()
def serve():
    while (item := work.get()) is not None:
        done.put(item * item)
threads = [threading.Thread(target=serve) for _ in range(4)]
for thread in threads:
    thread.start()
for item in [*range(50), *[None] * len(threads)]:
    work.put(item)
for thread in threads:
    thread.join()
print(sum(done.get() for _ in range(50)))

print(subprocess.run(["tr", "a-z", "A-Z"], input=b"upper", capture_output=True).stdout)
try:
    subprocess.run(["sleep", "9"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("timed out")

signal.signal(signal.SIGUSR1, lambda number, frame: print("signal", number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGALRM, lambda number, frame: print("alarm", number))
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()

one, other = socket.socketpair()
one.send(b"hello")
print(other.recv(9))

with tempfile.TemporaryFile() as file:
    file.truncate(8192)
    mapped = mmap.mmap(file.fileno(), 8192)
    mapped[4096:4099] = b"abc"
    file.seek(4096)
    print(file.read(3))

child = os.fork()
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END
python3 t.py
