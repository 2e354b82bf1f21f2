// What the page asks the service for.

const KEY = "missrec-key";

/** The answer to a GET under /explorer/api/. */
export function get(name, parameters = {}, signal) {
  return ask(`/explorer/api/${name}?${new URLSearchParams(parameters)}`, { signal });
}

/** The answer to a POST under /explorer/api/. */
export function post(name, body, signal) {
  return ask(`/explorer/api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

/** An address that an <img> can show; asked for with the key where the service wants one. */
export async function pictureAddress(item) {
  const address = `/explorer/api/picture?${new URLSearchParams({ item })}`;
  if (!sessionStorage.getItem(KEY)) {
    return address;
  }
  const response = await fetch(address, { headers: withKey({}) });
  return URL.createObjectURL(await response.blob());
}

/** Calls of which only the latest counts: an earlier one that is still on its way is given up. */
export function latestOnly() {
  let controller = new AbortController();
  return () => {
    controller.abort();
    controller = new AbortController();
    return controller.signal;
  };
}

async function ask(address, options) {
  let response = await fetch(address, { ...options, headers: withKey(options.headers) });
  while (response.status === 401 && (await askForKey())) {
    response = await fetch(address, { ...options, headers: withKey(options.headers) });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(answer.error?.message ?? `The service answered ${response.status}.`);
  }
  document.getElementById("problem").textContent = ""; // what was wrong before is over
  return answer;
}

function withKey(headers) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...headers, Authorization: `Bearer ${key}` } : { ...headers };
}

let asking = null;

/** Whether a key was given; several that wait are asked once. */
function askForKey() {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("ask-key");
    const field = document.getElementById("key");
    dialog.addEventListener(
      "close",
      () => {
        const key = field.value.trim();
        field.value = "";
        sessionStorage.setItem(KEY, key);
        asking = null;
        done(key !== "");
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}
