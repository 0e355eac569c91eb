#pragma once

#include "guest-kernel/lib/json_writer.h"

// Nodes of a flattened device tree as JSON.
namespace native {

// The properties of `node` as members of an object that is open: strings as strings, lists of
// strings as arrays, cells as numbers (or arrays of them), empty properties as true. What only
// holds the tree together (phandle, #address-cells, …) is left out.
void write_properties(guest::JsonWriter& json, const void* tree, int node);

// The properties, then each child as a member with its own object, to `depth` levels.
void write_node(guest::JsonWriter& json, const void* tree, int node, int depth);

}  // namespace native
