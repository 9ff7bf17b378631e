# The same addon for those who build with node-gyp; the sources are those of native/CMakeLists.txt. The result is
# build/Release/mailhaul.node as well. `node-gyp rebuild --nodedir=<prefix of node>` needs no network.
{
  "targets": [
    {
      "target_name": "mailhaul",
      "sources": ["<!@(sed 's,^,native/,' native/sources.txt)"],
      "include_dirs": [
        "native/src",
        "<!(node -p \"require('node-addon-api').include_dir\")"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS",
                  "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-fno-rtti"],
      "cflags_cc": ["-std=c++20", "-O3", "-fvisibility=hidden", "-isystem", "../native/third_party"]
    }
  ]
}
