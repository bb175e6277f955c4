import { defineConfig } from "vite";

// `npm run dev` shows the map of a city that is already running: HEXHAIL_URL says where.
const city = process.env.HEXHAIL_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  build: {
    target: "es2022",
    sourcemap: false,
    // MapLibre is one module of a megabyte; splitting it would not make it smaller.
    chunkSizeWarningLimit: 1400,
    rollupOptions: {
      input: ["index.html", "replay.html"],
      output: {
        // Not every server knows that .mjs is JavaScript, and a module worker is refused under any other type.
        assetFileNames: (asset) =>
          asset.names.some((name) => name.endsWith(".mjs")) ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]",
      },
    },
  },
  server: { proxy: { "/v1": { target: city, ws: true } } },
});
