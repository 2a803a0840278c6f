"""Free memory: of the machine, and within the limits of a container."""

import psutil
import pytest

from experiments.restore import batch_size, memory


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


VERSION_2 = {
    "proc/self/cgroup": "0::/pod/container\n",
    "sys/fs/cgroup/pod/container/memory.max": "max\n",
    "sys/fs/cgroup/pod/container/memory.current": "300\n",
    "sys/fs/cgroup/pod/container/memory.stat": "anon 200\ninactive_file 0\n",
    "sys/fs/cgroup/pod/memory.max": "1000\n",  # the group around it is limited
    "sys/fs/cgroup/pod/memory.current": "400\n",
    "sys/fs/cgroup/pod/memory.stat": "anon 300\ninactive_file 50\n",
}
VERSION_1 = {
    "proc/self/cgroup": "5:cpu:/x\n4:memory,hugetlb:/docker/abc\n0::/\n",
    # A container sees its own group at the mount, whatever the path says.
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1500\n",
    "sys/fs/cgroup/memory/memory.stat": "cache 9\ninactive_file 100\n",
}


@pytest.mark.parametrize(("files", "free"), [(VERSION_2, 1000 - 400 + 50), (VERSION_1, 2000 - 1500 + 100)])
def test_the_limit_of_a_container_counts(files, free, tmp_path):
    assert memory.free_bytes(write(tmp_path, files)) == free


def test_without_limits_the_memory_of_the_machine_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 12345}))
    unlimited = VERSION_1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert memory.free_bytes(write(tmp_path / "v1", unlimited)) == 12345
    assert memory.free_bytes(tmp_path / "no linux") == 12345


def test_a_full_container_has_nothing_left(tmp_path):
    full = VERSION_2 | {"sys/fs/cgroup/pod/memory.current": "1100\n"}
    assert memory.free_bytes(write(tmp_path, full)) == 0


def test_the_size_of_a_batch_keeps_to_it(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 777)
    device = type("Device", (), {"memory_stats": lambda self: None})()
    assert batch_size._free_bytes(device) == 777
