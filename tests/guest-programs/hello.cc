#include <algorithm>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// A C++ program: its library's start-up, exceptions, streams.
int main() {
  std::map<std::string, std::vector<int>> table;
  for (int i = 0; i < 1000; ++i) {
    table["key" + std::to_string(i % 7)].push_back(i);
  }
  try {
    table.at("nothing");
  } catch (const std::out_of_range&) {
    std::cout << "caught, " << table.size() << " keys, " << table["key3"].size() << " values"
              << std::endl;
  }
  std::string line;
  return std::getline(std::cin, line) ? static_cast<int>(line.size()) : 0;
}
