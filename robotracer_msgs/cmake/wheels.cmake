# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Included after project() only when building against the ROS 2 wheels of the Python package index
# (pip, or colcon with -DCMAKE_PROJECT_INCLUDE=...). A ROS installation never needs it.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND ${Python3_EXECUTABLE} -c
"import importlib.metadata as m
d = m.distribution('ros-ament-cmake')
f = [f for f in d.files if f.name == 'ament_cmakeConfig.cmake'][0]
print(d.locate_file(f).resolve().parents[3], end='')"
  OUTPUT_VARIABLE _prefix
  COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "ROS wheels at ${_prefix}")
list(PREPEND CMAKE_PREFIX_PATH "${_prefix}")
set(ENV{AMENT_PREFIX_PATH} "${_prefix}")
if(SKBUILD)
  set(PYTHON_INSTALL_DIR "${SKBUILD_PLATLIB_DIR}")
endif()

# The wheels' exported targets name the include folder of the container they were built in, and
# CMake refuses targets whose include folders do not exist.
function(_wheels_fix)
  get_property(_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_dirs ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(_dirs)
      list(FILTER _dirs EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_dirs}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _wheels_fix)
