// Pays the price of a form while its visitor types, and stays out of the way.
//
//   <form data-challenge="{…ALTCHA v2 challenge…}"> <input type="hidden" name="proof"> … </form>
//
// 1. Solving begins when the form first gets the focus, or when it is sent, in a module worker (proof-worker.js).
// 2. At most three seconds of the device's own time are spent. After that the form is sent without a proof: the
//    server then mails a link instead. The same happens where the browser cannot solve at all.
// 3. What happens is said in a live region, for eyes and for screen readers, in the page's language.

const LONGEST_MILLISECONDS = 3000;
const WORDS = {
  en: { working: "Checking that you are no robot …", done: "Ready.", late: "This takes too long here: we will mail you a link instead." },
  zh: { working: "正在确认您不是机器人……", done: "已完成。", late: "在此设备上耗时过长：我们将改为给您发送邮件链接。" },
};
const words = document.documentElement.lang.startsWith("zh") ? WORDS.zh : WORDS.en;

function region(form) {
  const progress = document.createElement("p");
  progress.className = "small quiet proof-progress";
  progress.setAttribute("role", "status");
  form.append(progress);
  return progress;
}

function solve(challenge) {
  const worker = new Worker(new URL("proof-worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve) => {
    const end = (proof) => { clearTimeout(timer); worker.terminate(); resolve(proof); };
    const timer = setTimeout(() => end(""), LONGEST_MILLISECONDS);
    worker.addEventListener("message", (event) => end(event.data.proof));
    worker.addEventListener("error", () => end(""));
    worker.postMessage({ challenge });
  });
}

function attend(form) {
  const field = form.elements.namedItem("proof");
  if (!field || !globalThis.crypto?.subtle || !globalThis.Worker) return;
  const progress = region(form);
  let solving = null;

  const begin = () => {
    if (solving) return solving;
    progress.textContent = words.working;
    solving = solve(JSON.parse(form.dataset.challenge)).then((proof) => {
      field.value = proof;
      progress.textContent = proof ? words.done : words.late;
    });
    return solving;
  };

  form.addEventListener("focusin", begin, { once: true });
  form.addEventListener("submit", (event) => {
    if (field.value || form.dataset.proofEnded) return;
    event.preventDefault();
    const submitter = event.submitter;
    begin().then(() => {
      form.dataset.proofEnded = "true";
      form.requestSubmit(submitter ?? undefined);
    });
  });
}

for (const form of document.querySelectorAll("form[data-challenge]")) attend(form);
