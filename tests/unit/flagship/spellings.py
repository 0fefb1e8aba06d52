"""Addresses inside, in every spelling that some resolver, browser or library takes for them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

# Loopback, private, shared, link-local, the metadata services of clouds, and what is no host.
INSIDE = (
    *("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.31.255.254", "192.168.0.1", "100.64.0.1"),
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    *("0.0.0.0", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
)
INSIDE_6 = (
    *("::", "::1", "fd00:ec2::254", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("100::1", "3fff::1", "5f00::1", "2001::1"),
)
# The full-width forms stand as far from the plain ones as U+FF10 from "0".
FULL_WIDTH = {ord(sign): ord(sign) + 0xFEE0 for sign in "0123456789."}
CIRCLED = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")


def spellings_4(address: str) -> Iterator[str]:
    """Yield one IPv4 address as it can be written in the place of a host."""
    a, b, c, d = (int(part) for part in address.split("."))
    number = int(IPv4Address(address))
    yield from (address, f"{address}.", address.translate(FULL_WIDTH), address.translate(CIRCLED))
    yield from (str(number), hex(number), f"0X{number:X}", f"0{number:o}", f"0x{number:016x}")
    yield from (f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}")
    yield from (f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}")
    yield from (
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"0x{a:x}.0{b:o}.{(c << 8) + d}",
        f"{a + 256}.{b}.{c}.{d}",
    )
    yield from ("%".join(["", *(f"{ord(sign):x}" for sign in address)]), address.replace(".", "。"))
    yield from (f"{address}.nip.example", f"{address.replace('.', '-')}.sslip.example")
    yield from (f"[{text}]" for text in carried(IPv4Address(address)))


def carried(address: IPv4Address) -> Iterator[str]:
    """Yield the IPv6 forms that carry an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo."""
    number = int(address)
    high, low = number >> 16, number & 0xFFFF
    yield from (f"::ffff:{address}", f"::ffff:{high:x}:{low:x}", f"0:0:0:0:0:ffff:{address}")
    yield from (
        f"::{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:FF9B:0::{high:X}:{low:X}",
    )
    yield from (f"64:ff9b:1::{address}", f"2002:{high:x}:{low:x}::1")
    yield f"2001:0:{high:x}:{low:x}:0:0:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"


def spellings_6(address: str) -> Iterator[str]:
    """Yield one IPv6 address as it can be written in the place of a host."""
    exploded = IPv6Address(address).exploded
    yield from (
        f"[{address}]",
        f"[{exploded}]",
        f"[{exploded.upper()}]",
        f"[{address}%25lo]",
        f"[{address}%eth0]",
    )
    yield from (address, f"{address.replace(':', '-')}.ipv6-literal.example", f"[v1.{address}]")


def hosts() -> list[str]:
    """Return every spelling of every address, and names of this very machine."""
    found = [text for address in INSIDE for text in spellings_4(address)]
    found += [text for address in INSIDE_6 for text in spellings_6(address)]
    names = (
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost.localdomain",
        "ip6-localhost",
        "lOcAlHoSt",
    )
    return [
        *dict.fromkeys([*found, *names, "metadata.google.internal", "metadata", "instance-data"])
    ]


def tricks(host: str, port: int) -> Iterator[str]:
    """Yield URLs that one reader takes for the way to `host`, and another for something else."""
    open_name = "git.example.org"
    yield from (f"https://{open_name}@{host}:{port}/", f"https://{open_name}:443@{host}:{port}/")
    yield from (f"https://{host}:{port}@{open_name}/", f"https://{host}:{port}\\@{open_name}/")
    yield from (f"https://{open_name}\\@{host}:{port}/", f"https://{open_name}#@{host}:{port}/")
    yield from (f"https://{open_name}?@{host}:{port}/", f"https://{open_name}%00@{host}:{port}/")
    yield from (f"https://{open_name}%2f@{host}:{port}/", f"https://{open_name}\t@{host}:{port}/")
    yield from (f"https://{open_name}\r\nHost: {host}:{port}/", f"https:\\\\{host}:{port}/")
    yield from (
        f"https:{host}:{port}/",
        f"https:///{host}:{port}/",
        f"https://{open_name} {host}:{port}/",
    )
    yield from (f"//{host}:{port}/", f"http://{host}:{port}/", f"\x00https://{host}:{port}/")
    yield from (
        f"https://{host}:{port}:443/",
        f"https://{host}:443:{port}/",
        f"url:https://{host}:{port}/",
    )
