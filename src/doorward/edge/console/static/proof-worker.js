// Solves an ALTCHA v2 challenge with PBKDF2/SHA-256: finds the counter whose derived key begins with the prefix.
//
// Password: the nonce, then the counter as four bytes, the most significant first. The answer is the payload that the
// server expects, in base 64: the challenge as it came, the counter, the derived key, and the milliseconds spent.

const AT_ONCE = 8; // the browser derives in threads of its own; one at a time leaves them idle
const encoder = new TextEncoder();

function bytes(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function derive(parameters, nonce, salt, counter) {
  const password = new Uint8Array(nonce.length + 4);
  password.set(nonce);
  new DataView(password.buffer).setUint32(nonce.length, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: parameters.cost };
  return hex(await crypto.subtle.deriveBits(how, key, (parameters.keyLength ?? 32) * 8));
}

async function solve(challenge) {
  const { parameters } = challenge;
  const nonce = bytes(parameters.nonce);
  const salt = bytes(parameters.salt);
  const began = performance.now();
  for (let first = 0; ; first += AT_ONCE) {
    const counters = Array.from({ length: AT_ONCE }, (_, place) => first + place);
    const keys = await Promise.all(counters.map((counter) => derive(parameters, nonce, salt, counter)));
    const place = keys.findIndex((key) => key.startsWith(parameters.keyPrefix));
    if (place >= 0) {
      const time = performance.now() - began;
      return { challenge, solution: { counter: first + place, derivedKey: keys[place], time } };
    }
  }
}

addEventListener("message", async (event) => {
  const payload = await solve(event.data.challenge);
  const text = JSON.stringify(payload);
  postMessage({ proof: btoa(String.fromCharCode(...encoder.encode(text))) });
});
