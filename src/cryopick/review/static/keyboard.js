// Keyboard shortcuts from a table of `{keys, run, help}`, and the help about them.

export function bindKeys(table) {
  const actions = new Map(table.flatMap(({ keys, run }) => keys.map((key) => [key, run])));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input[type=search], select, textarea");
    if (event.target.matches?.("input[type=search]") && event.key === "Escape") event.target.blur();
    if (typing || document.querySelector("dialog[open]")) return;
    if (event.target.matches?.("button, a") && ["Enter", " "].includes(event.key)) return;
    if (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return;
    const run = actions.get(keyName(event));
    if (!run) return;
    event.preventDefault();
    run();
  });
}

// The name of a key with its modifiers, such as `Ctrl+Shift+z`.
function keyName(event) {
  const plain = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || plain !== event.key) ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift}${plain}`;
}

export function fillHelp(container, table) {
  for (const { keys, help } of table) {
    if (!help) continue;
    const names = document.createElement("span");
    names.append(...keys.slice(0, 3).map((key) => Object.assign(document.createElement("kbd"), { textContent: displayName(key) })));
    container.append(names, Object.assign(document.createElement("span"), { textContent: help }));
  }
}

function displayName(key) {
  const names = { ArrowRight: "→", ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", Delete: "Del" };
  if (key === "+") return key;
  return key.split("+").map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join(" ");
}
