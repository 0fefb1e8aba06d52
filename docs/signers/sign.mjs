// Signs a request to FlagShip. Prints its headers:
// SIGNING_KEY_ID=sig_... SIGNING_SECRET=... node sign.mjs POST URL [BODY_FILE [TYPE [IDEM_KEY]]]
import { createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

// `secret` is in hexadecimal; `fixed` is for test vectors.
export function headers(keyId, secret, method, url, body = "", contentType = "", idempotencyKey = "", fixed = {}) {
  const [, host, path, query] = /^https?:\/\/([^/?#]+)([^?#]*)\??([^#]*)/.exec(url);
  const timestamp = fixed.timestamp || String(Math.floor(Date.now() / 1000));
  const nonce = fixed.nonce || randomBytes(24).toString("base64url");
  const digest = createHash("sha256").update(body).digest("hex");
  const canonical = [
    "BUILD-HMAC-SHA256-V2", keyId, timestamp, nonce,
    method.toUpperCase(), host.toLowerCase(), path || "/",
    query.split("&").sort().join("&"),
    contentType.toLowerCase(), idempotencyKey, digest,
  ].join("\n");
  const key = Buffer.from(hkdfSync("sha256", Buffer.from(secret, "hex"), "", `v2${keyId}`, 32));
  return {
    "X-Key-Id": keyId,
    "X-Timestamp": timestamp,
    "X-Nonce": nonce,
    "X-Content-SHA256": digest,
    "X-Signature": "v2=" + createHmac("sha256", key).update(canonical).digest("hex"),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [method, url, bodyFile = "", contentType = "", idempotencyKey = ""] = process.argv.slice(2);
  const env = process.env;
  const signed = headers(
    env.SIGNING_KEY_ID, env.SIGNING_SECRET, method, url,
    bodyFile ? readFileSync(bodyFile) : "", contentType, idempotencyKey,
    { timestamp: env.SIGNING_TIMESTAMP, nonce: env.SIGNING_NONCE },
  );
  for (const [name, value] of Object.entries(signed)) console.log(`${name}: ${value}`);
}
