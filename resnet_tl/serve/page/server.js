// Talks to the server. Whatever fails is an Error with a sentence for the person; `again`: trying again may help.

const GONE = "The server does not answer. If resnet-tl serve was stopped, start it again, then try again.";
const TRIES = 5;

export const fetchModel = async () => (await request("model")).json();

export async function predict(file, limits, options) {
  const answer = await send(`predict?${new URLSearchParams(options)}`, file, limits);
  return (await answer.json()).predictions[0];
}

/** Returns a picture of what speaks for a class ("": for what was predicted). */
export async function explain(file, limits, label) {
  const query = label === "" ? "" : `?${new URLSearchParams({ class: label })}`;
  return (await send(`explain${query}`, file, limits)).blob();
}

export const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;

async function send(path, file, limits) {
  if (file.size > limits.max_bytes) {
    throw new Error(`The file has ${megabytes(file.size)}; this server takes at most ${megabytes(limits.max_bytes)}.`);
  }
  const body = await file.arrayBuffer().catch(() => {
    throw new Error("The file cannot be read; if it is a folder, choose the images in it.");
  });
  return request(path, { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } });
}

async function request(path, options) {
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path, options).catch(() => { throw failure(GONE, true); });
    if (answer.ok) return answer;
    if (answer.status !== 503 || tries === TRIES) throw failure(await sentence(answer), answer.status >= 500);
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    await new Promise((resume) => setTimeout(resume, 1000 * seconds));
  }
}

const failure = (sentence, again) => Object.assign(new Error(sentence), { again });

async function sentence(answer) {
  try {
    const error = (await answer.json()).error.replace(/^image 0: /, "");
    return error[0].toUpperCase() + error.slice(1) + (/[.?!]$/.test(error) ? "" : ".");
  } catch {
    return `The server answered ${answer.status} ${answer.statusText}.`;
  }
}
