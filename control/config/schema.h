// The vocabulary in which configuration keys are declared: each key once, with its type, range,
// default and meaning. Validation (load.cc) and the reference (reference.cc) both read it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "control/config/document.h"
#include "control/config/secret.h"
#include "control/config/settings.h"

namespace turnpike::config {

/// Smallest and greatest allowed value, both included.
struct Range {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

/// What a value's own form decides about its meaning.
struct ValueContext {
  std::string folder;  ///< of the configuration file; relative paths start there
};

/// Takes a value into the field; gives "" or what is wrong as "is …; give …".
using Taker = std::function<std::string(void* section, const Node&, const ValueContext&)>;

/// When a changed value holds. Whoever reads a key only at start must not call it kHot.
enum class Effect : std::uint8_t {
  kRestart,  ///< at the next start of turnpiked
  kHot,      ///< at a reload, with calls up
  kSidecar   ///< when the SIP sidecar's files are written anew and it is restarted
};

/// "restart", "hot", "sidecar".
std::string_view name_of(Effect effect);

struct Key {
  std::string name;
  std::string type;          ///< for the reference: "integer 1-16", "text", "list of addresses"
  std::string meaning;       ///< one or two sentences
  std::string example;       ///< TOML, shown when a required key is missing
  Node initial;              ///< default; kTable: none
  std::string initial_rule;  ///< for the reference, when place() sets the default by name
  bool required = false;
  bool secret = false;  ///< the value never appears in a message
  Effect effect = Effect::kRestart;
  Taker take;
};

struct Section {
  /// "media", or "interface.*" for a section per name, or "zone.*.peer.*" for several below each.
  std::string path;
  std::string meaning;
  std::vector<Key> keys;
  /// The struct to fill. For a section per name it is called once for each name in the file;
  /// `name` is what stands from the first "*" on: "outside", "dmz.peer.core-1".
  std::function<void*(Settings&, const std::string& name)> place;

  bool named() const { return path.ends_with(".*"); }
};

std::string take_integer(const Node& node, Range range, std::int64_t& value);
std::string take_text(const Node& node, std::string& value);
std::string take_texts(const Node& node, std::vector<std::string>& value);
std::string take_boolean(const Node& node, bool& value);
std::string take_word(const Node& node, const std::vector<std::string_view>& words,
                      std::size_t& index);
std::string take_addresses(const Node& node, std::vector<IpAddress>& value);
/// As take_addresses; "auto" stands for the address that this host uses by default.
std::string take_local_addresses(const Node& node, std::vector<IpAddress>& value);
std::string take_socket_address(const Node& node, SocketAddress& value);
std::string take_path(const Node& node, const ValueContext& context, std::string& value);
std::string take_paths(const Node& node, const ValueContext& context,
                       std::vector<std::string>& value);
std::string take_socket_path(const Node& node, const ValueContext& context, std::string& value);
std::string integer_type(Range range);
std::string words_type(const std::vector<std::string_view>& words);

/// Declares a section whose keys are fields of S.
///   SectionOf<MediaSection>("media", "…", place).integer("shards", &MediaSection::shards, …)
/// required() applies to the key declared last. Units stand last in names: quarantine_seconds.
template <typename S>
class SectionOf {
 public:
  SectionOf(std::string path, std::string meaning,
            std::function<S*(Settings&, const std::string&)> place) {
    section_.path = std::move(path);
    section_.meaning = std::move(meaning);
    section_.place = [place](Settings& settings, const std::string& name) -> void* {
      return place(settings, name);
    };
  }

  /// Any integer type, or Seconds.
  template <typename T>
  SectionOf& integer(std::string name, T S::*field, std::int64_t initial, Range range,
                     std::string meaning) {
    return add(std::move(name), integer_type(range), Node::of_integer(initial), std::move(meaning),
               [field, range](S& section, const Node& node, const ValueContext&) {
                 std::int64_t value = 0;
                 std::string complaint = take_integer(node, range, value);
                 if (complaint.empty()) section.*field = static_cast<T>(value);
                 return complaint;
               });
  }

  SectionOf& boolean(std::string name, bool S::*field, bool initial, std::string meaning) {
    return add(std::move(name), "true or false", Node::of_boolean(initial), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext&) {
                 return take_boolean(node, section.*field);
               });
  }

  SectionOf& text(std::string name, std::string S::*field, std::string initial,
                  std::string meaning) {
    return add(std::move(name), "text", Node::of_text(std::move(initial)), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext&) {
                 return take_text(node, section.*field);
               });
  }

  SectionOf& secret_text(std::string name, Secret S::*field, std::string meaning) {
    add(std::move(name), "text", Node{}, std::move(meaning),
        [field](S& section, const Node& node, const ValueContext&) {
          std::string value;
          std::string complaint = take_text(node, value);
          section.*field = Secret(std::move(value));
          return complaint;
        });
    section_.keys.back().secret = true;
    return *this;
  }

  /// One of a few words; the field is the word itself.
  SectionOf& word(std::string name, std::string S::*field, std::string initial,
                  std::vector<std::string_view> words, std::string meaning) {
    return add(std::move(name), words_type(words), Node::of_text(std::move(initial)),
               std::move(meaning),
               [field, words](S& section, const Node& node, const ValueContext&) {
                 std::size_t index = 0;
                 std::string complaint = take_word(node, words, index);
                 if (complaint.empty()) section.*field = words[index];
                 return complaint;
               });
  }

  /// One of a few words; the field is an enum whose values count up from 0 in the order of `words`.
  template <typename E>
  requires std::is_enum_v<E> SectionOf& word(std::string name, E S::*field, std::string initial,
                                             std::vector<std::string_view> words,
                                             std::string meaning) {
    return add(std::move(name), words_type(words), Node::of_text(std::move(initial)),
               std::move(meaning),
               [field, words](S& section, const Node& node, const ValueContext&) {
                 std::size_t index = 0;
                 std::string complaint = take_word(node, words, index);
                 if (complaint.empty()) section.*field = static_cast<E>(index);
                 return complaint;
               });
  }

  SectionOf& texts(std::string name, std::vector<std::string> S::*field, std::string meaning) {
    return add(std::move(name), "list of texts", Node::of_list({}), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext&) {
                 return take_texts(node, section.*field);
               });
  }

  SectionOf& addresses(std::string name, std::vector<IpAddress> S::*field, std::string meaning) {
    return add(std::move(name), "list of IP addresses", Node::of_list({}), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext&) {
                 return take_addresses(node, section.*field);
               });
  }

  /// Addresses of this host, or "auto".
  SectionOf& local_addresses(std::string name, std::vector<IpAddress> S::*field,
                             std::string meaning) {
    return add(std::move(name), "list of IP addresses or \"auto\"", Node::of_list({}),
               std::move(meaning), [field](S& section, const Node& node, const ValueContext&) {
                 return take_local_addresses(node, section.*field);
               });
  }

  /// "192.0.2.1:5060", "[2001:db8::1]:5060"; "" leaves the field unset.
  SectionOf& socket_address(std::string name, SocketAddress S::*field, std::string initial,
                            std::string meaning) {
    return add(std::move(name), "address:port or \"\"", Node::of_text(std::move(initial)),
               std::move(meaning), [field](S& section, const Node& node, const ValueContext&) {
                 return take_socket_address(node, section.*field);
               });
  }

  /// A file or folder; a relative one starts at the configuration file's folder. "" stays empty.
  SectionOf& path(std::string name, std::string S::*field, std::string initial,
                  std::string meaning) {
    return add(std::move(name), "path", Node::of_text(std::move(initial)), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext& context) {
                 return take_path(node, context, section.*field);
               });
  }

  SectionOf& paths(std::string name, std::vector<std::string> S::*field, std::string meaning) {
    return add(std::move(name), "list of paths", Node::of_list({}), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext& context) {
                 return take_paths(node, context, section.*field);
               });
  }

  /// The same in a part of the section.
  template <typename Part>
  SectionOf& path(std::string name, Part S::*part, std::string Part::*field, std::string meaning) {
    return add(std::move(name), "path", Node::of_text(""), std::move(meaning),
               [part, field](S& section, const Node& node, const ValueContext& context) {
                 return take_path(node, context, section.*part.*field);
               });
  }

  /// A path that is short enough for a unix socket (107 bytes).
  SectionOf& socket_path(std::string name, std::string S::*field, std::string initial,
                         std::string meaning) {
    return add(std::move(name), "path", Node::of_text(std::move(initial)), std::move(meaning),
               [field](S& section, const Node& node, const ValueContext& context) {
                 return take_socket_path(node, context, section.*field);
               });
  }

  /// The key has no default; `example` is TOML for the message that asks for it.
  SectionOf& required(std::string example) {
    Key& key = section_.keys.back();
    key.required = true;
    key.example = std::move(example);
    key.initial = Node{};
    return *this;
  }

  /// The default depends on the section's name and is set by `place`; `rule` tells it in Markdown.
  SectionOf& initial_by_name(std::string rule) {
    Key& key = section_.keys.back();
    key.initial = Node{};
    key.initial_rule = std::move(rule);
    return *this;
  }

  /// A reload puts the key declared last into force.
  SectionOf& hot() {
    section_.keys.back().effect = Effect::kHot;
    return *this;
  }

  Section done() { return std::move(section_); }

 private:
  template <typename F>
  SectionOf& add(std::string name, std::string type, Node initial, std::string meaning, F take) {
    Key key;
    key.name = std::move(name);
    key.type = std::move(type);
    key.meaning = std::move(meaning);
    key.initial = std::move(initial);
    key.take = [take](void* section, const Node& node, const ValueContext& context) {
      return take(*static_cast<S*>(section), node, context);
    };
    section_.keys.push_back(std::move(key));
    return *this;
  }

  Section section_;
};

/// [sip] and the sections below it.
std::vector<Section> sip_sections();

/// [zone.ZONE] and the sections below it.
std::vector<Section> zone_sections();

/// [turn] and the sections below it.
std::vector<Section> turn_sections();

/// [front_door]
std::vector<Section> front_door_sections();

/// Every section of the file, in the order of the reference.
const std::vector<Section>& sections();

/// The section declared for a table at `path`: "interface.outside" is found under "interface.*",
/// and `name` is then what stands from the first "*" on. Null: there is none.
const Section* find_section(const std::string& path, std::string& name);

}  // namespace turnpike::config
