const loaded = {};
function beside(from, name) {
  const words = from.split("/").slice(0, -1);
  for (const word of name.split("/")) {
    if (word === "..") words.pop();
    else if (word !== ".") words.push(word);
  }
  const path = words.join("/");
  return path.endsWith(".js") ? path : `${path}.js`;
}
function load(path) {
  if (!(path in loaded)) {
    if (!(path in modules)) throw new Error(`there is no module ${path}`);
    const module = { exports: {} };
    loaded[path] = module;
    modules[path].call(module.exports, (name) => load(beside(path, name)), module, module.exports);
  }
  return loaded[path].exports;
}
