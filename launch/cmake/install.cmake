# cmake --install: the program, the configurations it finds by name, the launch scripts.
include(GNUInstallDirs)
install(TARGETS switchyard RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY configs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/switchyard/configs FILES_MATCHING PATTERN "*.textproto" PATTERN "*.md")
install(DIRECTORY launch/ DESTINATION ${CMAKE_INSTALL_DATADIR}/switchyard/launch USE_SOURCE_PERMISSIONS
        FILES_MATCHING PATTERN "*.sh" PATTERN "*.md" PATTERN "*.gnuplot")
